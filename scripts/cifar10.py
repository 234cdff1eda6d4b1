"""CIFAR-10 in its original binary files, rebuilt from sheets of images that hold the same pixels.

A sheet is a PNG (8-bit RGB, not interlaced) of 1024 by 10,000 pixels: a row is an image of 32 by 32, row-major.
A binary file holds 10,000 records: the label, then the 1024 red, the green and the blue values.
"""

import struct
import sys
import zlib
from array import array
from itertools import accumulate

SIDE = 32
PIXELS = SIDE * SIDE
IMAGES = 10_000

NAMES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
# The original ends with an empty line.
NAMES_FILE = ("".join(f"{name}\n" for name in NAMES) + "\n").encode()

# SHA-256 of the sheets and of the original binary files.
SHEETS = {
    "data_batch_1": "9a148385817b16e1840832575ee46ccac2ced61a305f07d4804805773c64e9bc",
    "data_batch_2": "47d610b8eb06af0c885fc499afc396d55f3a029b865725720a4f10474aac9d6f",
    "data_batch_3": "ca5d6af61c1791820d0fa2b0a842a73ed48978b698d74c26531d2c80373d4c10",
    "data_batch_4": "b9342d4f3cc3db72a731ca8ceb196a37d61480ea2da598ed0b32b74339bd04a5",
    "data_batch_5": "183d6d9af763804a99e1a6d8af723b9cfe906a61276466041dea4511ce015144",
    "test_batch": "ca44572a4066ea28c710ad4dc633d2ce24469a5e869ede5cc69495b0ef4c7d09",
}
FILES = {
    "data_batch_1.bin": "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5",
    "data_batch_2.bin": "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed",
    "data_batch_3.bin": "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67",
    "data_batch_4.bin": "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48",
    "data_batch_5.bin": "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add",
    "test_batch.bin": "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b",
    "batches.meta.txt": "558e74b5e208382e186da55784b4bac2cd52e558448e1b5800990fdb28ed8033",
}


def filtered_rows(sheet):
    """The rows of a PNG sheet, each a filter type and 3072 bytes, not yet unfiltered."""
    if sheet[:8] != b"\x89PNG\r\n\x1a\n":
        raise ValueError("it is not a PNG file")
    position, compressed = 8, []
    while position < len(sheet):
        length, kind = struct.unpack_from(">I4s", sheet, position)
        content = sheet[position + 8 : position + 8 + length]
        if kind == b"IHDR" and content != struct.pack(">IIBBBBB", PIXELS, IMAGES, 8, 2, 0, 0, 0):
            raise ValueError(f"it is not an 8-bit RGB sheet of {PIXELS} by {IMAGES} pixels")
        if kind == b"IDAT":
            compressed.append(content)
        position += length + 12
    rows, size = zlib.decompress(b"".join(compressed)), 1 + 3 * PIXELS
    if len(rows) != IMAGES * size:
        raise ValueError(f"it holds {len(rows)} bytes and not {IMAGES} rows of {size}")
    return (rows[start : start + size] for start in range(0, len(rows), size))


def paeth(plane, above):
    """Undoes the filter Paeth on one channel of a row."""
    left = corner = 0
    whole = bytearray(plane)
    for index, up in enumerate(above):
        across, down, both = abs(up - corner), abs(left - corner), abs(left + up - 2 * corner)
        guess = left if across <= down and across <= both else up if down <= both else corner
        left, corner = (plane[index] + guess) & 255, up
        whole[index] = left
    return bytes(whole)


def prefix_sums(plane):
    """Undoes the filter Sub on one channel of a row: sums modulo 256, which are the low bytes of whole sums."""
    sums = array("I", accumulate(plane))
    low = 0 if sys.byteorder == "little" else sums.itemsize - 1
    return sums.tobytes()[low :: sums.itemsize]


def records(sheet, labels):
    """The binary file for a sheet and its labels. The sheets use the filters None, Sub and Paeth only."""
    if len(labels) != IMAGES or not all(label in range(len(NAMES)) for label in labels):
        raise ValueError(f"its labels are not {IMAGES} numbers from 0 to {len(NAMES) - 1}")
    above, parts = [bytes(PIXELS)] * 3, []
    for label, row in zip(labels, filtered_rows(sheet)):
        planes = [row[1 + channel :: 3] for channel in range(3)]
        if row[0] == 1:
            planes = [prefix_sums(plane) for plane in planes]
        elif row[0] == 4:
            planes = [paeth(plane, up) for plane, up in zip(planes, above)]
        elif row[0] != 0:
            raise ValueError(f"it uses the PNG filter {row[0]}")
        above = planes
        parts += [bytes([label]), *planes]
    return b"".join(parts)
