"""Decode and encode a file with the settings of `cdrl edit --profile fast` and no edit: what an edit can at best cost.

python benchmarks/plain_copy.py SOURCE OUTPUT
"""

import sys

from cdrl.media import EncoderOptions, Writer, prefetch, probe, read


def main(source: str, output: str) -> None:
    """Copy `source` to `output`, which is replaced, by the profile fast."""
    info = probe(source)
    with Writer(output, info, EncoderOptions("fast"), overwrite=True) as writer:
        for frame in prefetch(read(info), depth=4):
            writer.write(frame)


if __name__ == "__main__":
    main(*sys.argv[1:])
