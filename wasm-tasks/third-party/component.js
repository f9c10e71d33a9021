import { getArguments } from "wasi:cli/environment@0.2.0";
import { getStdin } from "wasi:cli/stdin@0.2.0";
import { getStdout } from "wasi:cli/stdout@0.2.0";

function readAll(stream) {
  const bytes = [];
  for (;;) {
    try { bytes.push(...stream.blockingRead(4096)); } catch (closed) { return bytes; }
  }
}

export const run = {
  run() {
    const text = String.fromCharCode(...readAll(getStdin()));
    const line = JSON.stringify({ args: getArguments(), words: text.split(/\s+/).filter(Boolean).sort() }) + "\n";
    getStdout().blockingWriteAndFlush(new Uint8Array([...line].map((c) => c.charCodeAt(0))));
  },
};
