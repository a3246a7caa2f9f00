"""A package beside the reward, with a file that is read when the plugin is built."""

from pathlib import Path

WORDS = (Path(__file__).parent / "list.txt").read_text().split()
