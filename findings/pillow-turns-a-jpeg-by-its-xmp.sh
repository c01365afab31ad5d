#!/usr/bin/env bash
# Pillow 12.3.0 takes a JPEG's orientation from XMP where the file has no EXIF; OpenCV 5.0.0 does not.
#
# A JPEG of 40 x 20 pixels holds an XMP packet with tiff:Orientation="6" and no EXIF. Pillow's
# Image.getexif() says 6 and ImageOps.exif_transpose() turns the picture to 20 x 40. OpenCV's imread,
# which turns by EXIF, leaves it as it is stored, as browsers do. A program that looks for faces with
# one library and shows the photo with the other sees two different pictures.
#
# Exits 0 while that is so, 1 once it changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet pillow==12.3.0 opencv-python-headless==5.0.0.93
"$folder/venv/bin/python" - "$folder/photo.jpg" <<'PYTHON'
import sys

import cv2
from PIL import Image, ImageOps

path = sys.argv[1]
packet = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/>'
    b"</rdf:RDF></x:xmpmeta>"
)
Image.new("RGB", (40, 20), "red").save(path, xmp=packet)
with Image.open(path) as image:
    has_exif = "exif" in image.info
    tag = image.getexif().get(0x0112)
    turned = ImageOps.exif_transpose(image).size
height, width = cv2.imread(path).shape[:2]
seen = f"EXIF {has_exif}, Pillow: tag {tag}, {turned[0]} x {turned[1]}; OpenCV: {width} x {height}"
print(seen)
sys.exit(seen != "EXIF False, Pillow: tag 6, 20 x 40; OpenCV: 40 x 20")
PYTHON
# Seen:
# EXIF False, Pillow: tag 6, 20 x 40; OpenCV: 40 x 20
