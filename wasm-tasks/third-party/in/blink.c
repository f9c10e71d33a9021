#define PORTB (*(volatile unsigned char *)0x25)
static unsigned fib(unsigned n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }
int main(void) { for (unsigned i = 0;; i++) PORTB = fib(i & 7); }
