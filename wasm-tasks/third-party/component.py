"""A command that componentize-py makes into a component: words of stdin and of /in, counted into /out."""

import collections
import json
import os
import sys

from wit_world import exports


class Run(exports.Run):
    def run(self) -> None:
        words = collections.Counter(sys.stdin.read().split())
        files = sorted(os.listdir("/in")) if os.path.isdir("/in") else []
        for name in files:
            with open(os.path.join("/in", name)) as file:
                words.update(file.read().split())
        print(sys.version.split()[0], sys.argv[1:], files)
        print(json.dumps(sorted(words.items())))
        if files:
            with open("/out/words.json", "w") as file:
                json.dump(dict(sorted(words.items())), file)
