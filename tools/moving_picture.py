"""Make the README's moving picture: the stage plays one timer's life under two kernels, filmed in Chromium."""

from __future__ import annotations

import argparse
import io
import shutil
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from kvmlab import panels
from kvmlab.lab.panels import front_end

ROOT = Path(__file__).parent.parent
PICTURE = ROOT / "docs" / "stage.webp"
KERNELS = ("v5.2", "v5.3")
WIDTH, HEIGHT = 860, 640
FRAME_MS = 700
HOLD_MS = 2_000
"""How long the last picture of each kernel stays."""


def html() -> str:
    """Return a page with one stage."""
    place = panels.stage_panel(hlt_in_guest=True, kernel=KERNELS[0]).place(bridged=False)
    style = "body{margin:12px;background:#fff;font-family:system-ui,sans-serif}"
    script = f'<script type="module">{front_end.script()}</script>'
    return f"<!doctype html><meta charset=utf-8><style>{style}</style>{place}{script}"


def film(page: Page) -> list[tuple[Image.Image, int]]:
    """Return the frames, each with how long it stays in ms, for all kernels one after the other."""
    frames: list[tuple[Image.Image, int]] = []
    panel = page.locator(".kvmlab")
    for kernel in KERNELS:
        page.evaluate("kernel => document.querySelector('.kvmlab').kvmlab.moved({ kernel })", kernel)
        scrub = panel.get_by_label("step", exact=True)
        for step in range(int(scrub.get_attribute("max") or 0) + 1):
            scrub.fill(str(step))
            page.wait_for_timeout(50)
            frames.append((Image.open(io.BytesIO(panel.screenshot())), FRAME_MS))
        frames[-1] = (frames[-1][0], HOLD_MS)
    return frames


def main() -> None:
    """Write the picture."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--into", type=Path, default=PICTURE)
    into = parser.parse_args().into
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        path = Path(folder) / "stage.html"
        path.write_text(html(), encoding="utf-8")
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, reduced_motion="reduce")
        page.goto(path.as_uri())
        page.wait_for_function("document.querySelector('.kvmlab').kvmlab?.drawn")
        (first, _), *_ = frames = film(page)
        browser.close()
    pictures = [frame.convert("RGB").resize(first.size) for frame, _ in frames]
    pictures[0].save(
        into, save_all=True, append_images=pictures[1:], duration=[ms for _, ms in frames], loop=0, quality=70
    )


if __name__ == "__main__":
    main()
