"""Draw histogram.png (and its copy historgram.png) from student_data.csv."""
import csv
import shutil

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

SUBJECTS = {"Math": "#2f6db5", "Science": "#2e8b57", "English": "#c0632b"}
BINS = range(40, 101, 10)

with open("student_data.csv", newline="", encoding="utf-8") as handle:
    rows = list(csv.DictReader(handle))

figure, axes = plt.subplots(1, 3, figsize=(12, 4), sharey=True)
for axis, (subject, colour) in zip(axes, SUBJECTS.items()):
    scores = [int(row[subject]) for row in rows]
    counts, _, bars = axis.hist(scores, bins=BINS, color=colour, edgecolor="white")
    axis.bar_label(bars, labels=[str(int(count)) for count in counts])
    axis.set_title(subject)
    axis.set_xlabel("Score")
    axis.set_xticks(BINS)
axes[0].set_ylabel("Students")
axes[0].set_ylim(0, 7)
figure.suptitle(f"Scores of {len(rows)} students")
figure.tight_layout()
figure.savefig("histogram.png", dpi=100)
shutil.copyfile("histogram.png", "historgram.png")
