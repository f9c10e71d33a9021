"""What a pure task must see the same, everywhere and always."""

import os, random, tempfile, time, uuid

print(random.random(), os.urandom(8), time.time(), time.monotonic(), hash("x"), id(object()) % 7, uuid.uuid4())
time.sleep(0.01)
with tempfile.NamedTemporaryFile(dir="/tmp") as file:
    print(file.name, os.stat(file.name).st_mtime, os.stat(file.name).st_ino)
