"""Write the .onnx files that are committed beside the scripts: python models/build.py [NAME ...]"""

import sys
from pathlib import Path

from harness import zoo

FOLDER = Path(__file__).resolve().parent


def main(chosen: list[str]) -> None:
    for name in chosen or zoo.names():
        model = zoo.build(name)
        size = model.ByteSize()
        if size <= zoo.COMMITTED_BYTES:
            zoo.save(model, FOLDER / f"{name}.onnx")
        print(f"{name}: {size:,} bytes{'' if size <= zoo.COMMITTED_BYTES else ', built on demand'}")


if __name__ == "__main__":
    main(sys.argv[1:])
