"""Digests of stdin, floats, and a file for /out."""

import hashlib, json, math, os, sys, zlib

data = sys.stdin.buffer.read()
print(sys.version.split()[0], sys.argv[1:], len(data), hashlib.sha256(data).hexdigest(), zlib.crc32(data))
print([math.sin(n) ** 0.5 if math.sin(n) > 0 else math.log(n + 1) for n in range(8)])
os.makedirs("/out/a/b", exist_ok=True)
with open("/out/a/b/report.json", "w") as file:
    json.dump({"bytes": len(data), "in": sorted(os.listdir("/in"))}, file)
os.rename("/out/a/b", "/out/a/c")
os.symlink("c/report.json", "/tmp/link") if hasattr(os, "symlink") else None
sys.exit(5)
