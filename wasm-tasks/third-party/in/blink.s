; Toggles a pin for ever, on an ATmega328.
	.equ DDRB, 0x04
	.equ PORTB, 0x05
	.text
	.global main
main:	sbi DDRB, 5
loop:	in r24, PORTB
	ldi r25, 0x20
	eor r24, r25
	out PORTB, r24
	ldi r26, lo8(50000)
	ldi r27, hi8(50000)
wait:	sbiw r26, 1
	brne wait
	rjmp loop
	.data
text:	.asciz "blink"
