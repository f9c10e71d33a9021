/* A plain WASI command in C: turns the letters of stdin by N places, like Caesar's cipher.
 *
 * caesar N < TEXT      N from -25 to 25; `caesar -3` undoes `caesar 3`
 *
 * Exit code 2 if N is missing or wrong, 1 if reading or writing fails. */
#include <stdio.h>
#include <stdlib.h>

static int turned(int c, int places)
{
    if (c >= 'a' && c <= 'z')
        return 'a' + (c - 'a' + places) % 26;
    if (c >= 'A' && c <= 'Z')
        return 'A' + (c - 'A' + places) % 26;
    return c;
}

int main(int argc, char **argv)
{
    char *end = NULL;
    long places = argc == 2 ? strtol(argv[1], &end, 10) : 0;
    if (argc != 2 || end == argv[1] || *end != '\0' || places < -25 || places > 25) {
        fputs("usage: caesar N < TEXT, with N from -25 to 25\n", stderr);
        return 2;
    }
    for (int c; (c = getchar()) != EOF;)
        putchar(turned(c, (int)(places + 26)));
    if (ferror(stdin) || fflush(stdout) != 0) {
        perror("caesar");
        return 1;
    }
    return 0;
}
