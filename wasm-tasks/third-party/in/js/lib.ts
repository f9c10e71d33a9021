export const add = (a: number, b: number): number => a + b; export const unused = 1;
