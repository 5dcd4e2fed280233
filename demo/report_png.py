"""report_png.py - grey images, PNG files and the contact sheet, with the standard library alone.
SPDX-License-Identifier: Apache-2.0"""
import base64
import struct
import zlib

SIDE = 28
CLASSES = ("T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag",
           "boot")

# Glyphs 5 dots wide, a row a number of 5 bits, top row first; 7 rows, or 9 with a descender.
FONT = {
    "a": (0, 0, 14, 1, 15, 17, 15), "b": (16, 16, 22, 25, 17, 17, 30), "c": (0, 0, 14, 16, 16, 17, 14),
    "d": (1, 1, 13, 19, 17, 17, 15), "e": (0, 0, 14, 17, 31, 16, 14), "f": (6, 9, 8, 28, 8, 8, 8),
    "g": (0, 0, 15, 17, 17, 17, 15, 1, 14), "h": (16, 16, 22, 25, 17, 17, 17), "i": (4, 0, 12, 4, 4, 4, 14),
    "k": (16, 16, 18, 20, 24, 20, 18), "l": (12, 4, 4, 4, 4, 4, 14), "m": (0, 0, 26, 21, 21, 17, 17),
    "n": (0, 0, 22, 25, 17, 17, 17), "o": (0, 0, 14, 17, 17, 17, 14), "p": (0, 0, 30, 17, 17, 17, 30, 16, 16),
    "q": (0, 0, 15, 17, 17, 17, 15, 1, 1), "r": (0, 0, 22, 25, 16, 16, 16), "s": (0, 0, 14, 16, 14, 1, 30),
    "t": (8, 8, 28, 8, 8, 9, 6), "u": (0, 0, 17, 17, 17, 19, 13), "v": (0, 0, 17, 17, 17, 10, 4),
    "w": (0, 0, 17, 17, 21, 21, 10), "x": (0, 0, 17, 10, 4, 10, 17), "y": (0, 0, 17, 17, 17, 17, 15, 1, 14),
    "T": (31, 4, 4, 4, 4, 4, 4), "-": (0, 0, 0, 31, 0, 0, 0), " ": (0, 0, 0, 0, 0, 0, 0),
}


def png(width, height, pixels, grey=False):
    """A PNG file of rows of RGB or grey bytes."""
    def chunk(kind, body):
        return (struct.pack(">I", len(body)) + kind + body
                + struct.pack(">I", zlib.crc32(kind + body)))
    stride = width if grey else 3 * width
    raw = b"".join(b"\0" + pixels[y * stride:(y + 1) * stride] for y in range(height))
    head = struct.pack(">IIBBBBB", width, height, 8, 0 if grey else 2, 0, 0, 0)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(raw, 9))
            + chunk(b"IEND", b""))


def data_uri(image):
    """One 28 x 28 image for a page."""
    return "data:image/png;base64," + base64.b64encode(png(SIDE, SIDE, image, grey=True)).decode()


class Canvas:
    def __init__(self, width, height, colour):
        self.width, self.height = width, height
        self.pixels = bytearray(bytes(colour) * (width * height))

    def fill(self, x, y, width, height, colour):
        row = bytes(colour) * width
        for line in range(y, y + height):
            at = 3 * (line * self.width + x)
            self.pixels[at:at + 3 * width] = row

    def image(self, x, y, grey, scale):
        """Dark clothes on light paper read better on a sheet than white on black."""
        for row in range(SIDE):
            line = b"".join(bytes((255 - grey[SIDE * row + c] * 9 // 10,) * 3) * scale
                            for c in range(SIDE))
            for copy in range(scale):
                at = 3 * ((y + row * scale + copy) * self.width + x)
                self.pixels[at:at + len(line)] = line

    def text(self, x, y, text, colour, scale=1):
        for char in text:
            for row, bits in enumerate(FONT.get(char, FONT[" "])):
                for column in range(5):
                    if bits >> (4 - column) & 1:
                        self.fill(x + column * scale, y + row * scale, scale, scale, colour)
            x += 6 * scale

    def file(self):
        return png(self.width, self.height, bytes(self.pixels))


def text_width(text, scale=1):
    return max(0, 6 * scale * len(text) - scale)


def contact_sheet(rows, scale=3):
    """rows: (query image, its label, [(image, label), ...]). Neighbours of another class are marked."""
    ink, faint, wrong = (38, 42, 51), (140, 146, 158), (214, 69, 65)
    paper, card, accent = (246, 247, 249), (255, 255, 255), (45, 108, 223)
    tile, gap, caption, margin, head = SIDE * scale, 10, 24, 28, 40
    split = 34  # between the query and its neighbours
    count = max(len(neighbours) for _, _, neighbours in rows)
    width = 2 * margin + tile + split + count * (tile + gap) - gap
    height = 2 * margin + head + len(rows) * (tile + caption + gap) - gap
    sheet = Canvas(width, height, paper)
    sheet.text(margin, margin, "query", accent, 2)
    sheet.text(margin + tile + split, margin, "nearest neighbours by approximate search", faint, 2)

    def place(x, y, image, label, frame, colour):
        if frame:
            sheet.fill(x - 4, y - 4, tile + 8, tile + 8, frame)
        else:
            sheet.fill(x - 2, y - 2, tile + 4, tile + 4, (226, 229, 234))
        sheet.fill(x - 1, y - 1, tile + 2, tile + 2, card)
        sheet.image(x, y, image, scale)
        name = CLASSES[label]
        sheet.text(x + (tile - text_width(name)) // 2, y + tile + 9, name, colour)

    for i, (image, label, neighbours) in enumerate(rows):
        y = margin + head + i * (tile + caption + gap)
        place(margin, y, image, label, accent, ink)
        for j, (other, other_label) in enumerate(neighbours):
            x = margin + tile + split + j * (tile + gap)
            same = other_label == label
            place(x, y, other, other_label, None if same else wrong, ink if same else wrong)
    return sheet.file()
