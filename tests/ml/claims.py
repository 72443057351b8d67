"""Files that claim far more pixels than they hold."""

import struct

from PIL import Image

from tests.ml.pictures import encoded, png


def claims() -> dict[str, bytes]:
    """Small files that claim 200 million pixels, 20,000 x 10,000 where the type allows it."""
    small = Image.new("RGB", (16, 16), "red")
    jpeg, gif = bytearray(encoded(small, "JPEG")), bytearray(encoded(small, "GIF"))
    frame = bytearray(gif)
    size = jpeg.index(b"\xff\xc0") + 5
    jpeg[size : size + 4] = struct.pack(">HH", 10_000, 20_000)
    gif[6:10] = struct.pack("<HH", 20_000, 10_000)
    size = frame.index(b",", 13) + 5
    frame[size : size + 4] = struct.pack("<HH", 20_000, 10_000)
    webp = bytearray(encoded(small, "WEBP", lossless=True))
    webp[21:25] = struct.pack("<I", 16_382 | 12_207 << 14)
    animation = bytearray(encoded(small, "WEBP", save_all=True, append_images=[Image.new("RGB", (16, 16))]))
    animation[24:30] = (19_999).to_bytes(3, "little") + (9_999).to_bytes(3, "little")
    return {
        "JPEG": bytes(jpeg),
        "PNG": png(struct.pack(">IIBBBBB", 20_000, 10_000, 8, 2, 0, 0, 0), bytes(60_001)),
        "GIF": bytes(gif),
        "GIF with a larger frame": bytes(frame),
        "WebP": bytes(webp),
        "animated WebP": bytes(animation),
    }
