// All that smoke.ts uses of Node.js beyond what browsers have.
declare const process: { argv: string[] };
