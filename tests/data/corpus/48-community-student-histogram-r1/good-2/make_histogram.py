"""Draw histogram.png from student_data.csv (needs Pillow only)."""
import csv
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

HERE = Path(__file__).parent
SUBJECTS = {"Math": "#3566b0", "Science": "#2f9069", "English": "#d9822b"}
BINS = [(low, low + 9 if low < 90 else 100) for low in range(40, 100, 10)]

with open(HERE / "student_data.csv", newline="", encoding="utf-8") as handle:
    rows = list(csv.DictReader(handle))

counts = {
    subject: [sum(lo <= int(r[subject]) <= hi for r in rows) for lo, hi in BINS]
    for subject in SUBJECTS
}

W, H = 900, 520
LEFT, RIGHT, TOP, BOTTOM = 70, 30, 90, 70
font = ImageFont.load_default(size=18)
big = ImageFont.load_default(size=26)
image = Image.new("RGB", (W, H), "white")
draw = ImageDraw.Draw(image)

peak = max(max(c) for c in counts.values())
plot_h = H - TOP - BOTTOM
group_w = (W - LEFT - RIGHT) / len(BINS)
bar_w = group_w * 0.8 / len(SUBJECTS)

draw.text((W / 2, 28), "Distribution of marks", fill="#222", font=big, anchor="mm")
for i, (subject, colour) in enumerate(SUBJECTS.items()):
    x = W / 2 - 190 + i * 140
    draw.rectangle((x, 52, x + 16, 68), fill=colour)
    draw.text((x + 24, 60), subject, fill="#222", font=font, anchor="lm")

for n in range(peak + 1):
    y = TOP + plot_h * (1 - n / peak)
    draw.line((LEFT, y, W - RIGHT, y), fill="#e2e2e2" if n else "#444")
    draw.text((LEFT - 10, y), str(n), fill="#444", font=font, anchor="rm")

for b, (lo, hi) in enumerate(BINS):
    start = LEFT + b * group_w + group_w * 0.1
    for s, (subject, colour) in enumerate(SUBJECTS.items()):
        count = counts[subject][b]
        if count:
            x = start + s * bar_w
            y = TOP + plot_h * (1 - count / peak)
            draw.rectangle((x, y, x + bar_w - 3, TOP + plot_h - 1), fill=colour)
    centre = LEFT + (b + 0.5) * group_w
    draw.text((centre, H - BOTTOM + 20), f"{lo}-{hi}", fill="#444", font=font, anchor="mm")

draw.text((W / 2, H - 20), "Marks", fill="#222", font=font, anchor="mm")
label = Image.new("RGB", (200, 26), "white")
ImageDraw.Draw(label).text((100, 13), "Number of students", fill="#222", font=font, anchor="mm")
image.paste(label.rotate(90, expand=True), (8, TOP + plot_h // 2 - 100))

for name in ("histogram.png", "historgram.png"):
    image.save(HERE / name, optimize=True)
print(counts)
