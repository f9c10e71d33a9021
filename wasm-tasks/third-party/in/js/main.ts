import {add} from "./lib.ts"; console.log(add(1,2) as number);
