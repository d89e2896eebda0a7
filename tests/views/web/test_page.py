"""The film page in a real browser: pictures, keys, mouse, fragment, and no request to the network."""

import html
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dimple.runs import RunFolder
from dimple.views.content.from_run import frames_from_run
from dimple.views.web.data import page_data
from dimple.views.web.page import write_web_page
from tests.views.browser import SHIFT, Browser, needs_browser
from tests.views.material import write_flat_run, write_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return write_run(tmp_path_factory.mktemp("space") / "run", name="<b>ball</b>")


@pytest.fixture(scope="module")
def space(run: RunFolder) -> Path:
    return write_web_page(run, frames_from_run(run), run.path / "page.html")


@pytest.fixture(scope="module")
def flat(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = write_flat_run(tmp_path_factory.mktemp("flat") / "run")
    return write_web_page(run, frames_from_run(run), run.path / "page.html")


@pytest.fixture(scope="module")
def curves(run: RunFolder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_web_page(run, [], tmp_path_factory.mktemp("curves") / "page.html")


def scene(browser: Browser) -> np.ndarray:
    """Return the pixels of the canvas, `(height, width, 3)`."""
    browser.wait("!view.moving && !view.playing")
    box = browser.run(
        "(({x, y, width, height}) => [x, y, x + width, y + height])(byId('view').getBoundingClientRect())"
    )
    before = np.zeros(0)
    # On a busy machine a painted picture reaches the screen some pictures later.
    for _ in range(12):
        browser.settle()
        now = np.asarray(Image.open(io.BytesIO(browser.picture())).convert("RGB").crop(tuple(map(round, box))))
        if np.array_equal(now, before):
            break
        before = now
    return now


def is_same_picture(first: np.ndarray, second: np.ndarray) -> bool:
    """Return whether two pictures are equal up to rounding, which varies in software rendering."""
    return int(np.abs(first.astype(int) - second).max()) <= 1


def test_a_page_is_one_small_file_without_external_addresses(space: Path) -> None:
    text = html.unescape(space.read_text())
    assert space.stat().st_size < 6 * 2**20
    assert not re.search(r"(src|href)\s*=", text)
    assert re.findall(r"https?://[^\"'` )]+", text) == ["http://www.w3.org/2000/svg"]
    assert "default-src 'none'" in text
    assert "<b>ball" not in space.read_text()


def test_a_perturbation_along_the_manifold_has_no_normal_component_despite_rounding(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    points = run.columns("points")
    points["perturbation_on_manifold_fraction"] = np.full(len(points["step"]), np.nextafter(1.0, 2.0))
    points["margin_unbounded"] = np.full(len(points["step"]), 0.5)
    run.write_table("points", points, {})
    decomposition = page_data(run, frames_from_run(run))["drawing"]["measured"]["decomposition"]
    assert {cell for row in decomposition["off"] for cell in row} == {"0"}
    assert {cell for row in decomposition["on"] for cell in row} == {"0.500"}


def test_every_snapshot_and_baseline_is_in_the_page(space: Path) -> None:
    data = json.loads(re.search(r'id="data">(.*?)</script>', space.read_text()).group(1))
    assert data["steps"] == [0, 1, 10, 100]
    assert [fact["value"] for fact in data["facts"][2]] == ["0.833", "0.0200", "0.0200", "0.900"]
    assert data["facts"][2][3]["baseline"] == "0.333"
    assert data["drawing"]["predictions"][0][0] == 1
    assert np.allclose(np.linalg.norm(np.array(data["drawing"]["nearest"][1]), axis=1), 0.5, atol=2e-3)
    assert data["drawing"]["nearest"][0][0] == [None, None, None]


@needs_browser
def test_the_page_draws_itself(browser: Browser, space: Path) -> None:
    browser.open(space)
    picture = scene(browser)
    # The picture has many colors: boundary, points, and box.
    assert picture.std() > 15
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 500
    assert browser.run("byId('step').textContent") == "step 100"
    assert browser.run("document.title") == "<b>ball</b>"
    assert browser.run(
        "[...document.querySelectorAll('.chart svg[role]')].every(s => s.querySelectorAll('path').length > 3)"
    )
    overflow = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert browser.run(overflow) <= 0


@needs_browser
def test_surface_nets_extract_the_sphere(browser: Browser, space: Path) -> None:
    browser.open(space, "step=1")
    radii = browser.run(
        "Array.from({length: scene.nets.extract(scene.field.now).vertices}, (_, i) => Math.hypot(...[0, 1, 2].map("
        "k => scene.origin[k] + scene.drawing.field.spacing * scene.nets.vertices[6 * i + k])))"
    )
    assert np.abs(np.array(radii) - 0.5).max() < 0.1 * 1.1 / 64
    # Class 1 is inside, and the triangles face it.
    volume = browser.run(
        "(() => { const { nets } = scene, count = nets.extract(scene.field.now).indices; let sum = 0;"
        "const { spacing } = scene.drawing.field;"
        "const at = (i) => [0, 1, 2].map((k) => scene.origin[k] + spacing * nets.vertices[6 * i + k]);"
        "for (let t = 0; t < count; t += 3) {"
        " const [a, b, c] = [0, 1, 2].map((k) => at(nets.indices[t + k])); sum += dot(a, cross(b, c)) / 6;"
        "} return sum; })()"
    )
    assert volume == pytest.approx(-4 / 3 * np.pi * 0.5**3, rel=0.02)


@needs_browser
def test_keys_step_and_turn(browser: Browser, space: Path) -> None:
    browser.open(space)
    last = scene(browser)
    browser.key("ArrowLeft")
    assert browser.run("byId('step').textContent") == "step 10"
    assert np.abs(scene(browser).astype(int) - last).mean() > 0.5
    browser.key("Home")
    assert browser.run("byId('step').textContent") == "step 0"
    browser.key("End")
    assert is_same_picture(scene(browser), last)
    browser.key("ArrowRight", SHIFT)
    assert browser.run("byId('step').textContent") == "step 100"
    assert np.abs(scene(browser).astype(int) - last).mean() > 0.2
    browser.key("r")
    assert is_same_picture(scene(browser), last)
    browser.key("b")
    assert np.abs(scene(browser).astype(int) - last).mean() > 0.5


@needs_browser
def test_space_plays_to_the_end(browser: Browser, space: Path) -> None:
    browser.open(space, "step=10")
    browser.key(" ")
    browser.wait("view.time === LAST && !view.playing")
    assert browser.run("byId('step').textContent") == "step 100"


@needs_browser
def test_the_slider_shows_times_between_snapshots(browser: Browser, space: Path) -> None:
    browser.open(space, "step=1")
    first = scene(browser)
    browser.run("byId('time').value = 1.5; byId('time').dispatchEvent(new Event('input'))")
    between = scene(browser)
    assert browser.run("byId('between').textContent") == "boundary interpolated from step 1 to 10"
    browser.key("ArrowRight")
    assert np.abs(between.astype(int) - first).mean() > 0.5
    assert np.abs(between.astype(int) - scene(browser)).mean() > 0.5


@needs_browser
def test_the_mouse_turns_and_zooms(browser: Browser, space: Path) -> None:
    browser.open(space)
    before = browser.run("[scene.camera.turn, scene.camera.zoom]")
    browser.drag((300, 300), (400, 320))
    browser.mouse("mouseWheel", 300, 300, deltaX=0, deltaY=-120)
    browser.wait("scene.camera.zoom > 1.1")
    assert browser.run("scene.camera.turn") != before[0]


@needs_browser
def test_one_finger_turns_and_two_zoom(browser: Browser, space: Path) -> None:
    browser.open(space)
    turn, tilt, zoom = browser.run("[scene.camera.turn, scene.camera.tilt, scene.camera.zoom]")
    browser.touch(((300.0, 300.0),), ((360.0, 300.0),), ((380.0, 300.0),))
    assert browser.run("scene.camera.turn") == pytest.approx(turn - 80 / 160)
    browser.touch(((300.0, 300.0), (400.0, 300.0)), ((280.0, 300.0), (430.0, 300.0)))
    assert browser.run("scene.camera.zoom") == pytest.approx(1.5 * zoom, rel=0.01)
    assert browser.run("scene.camera.tilt") == pytest.approx(tilt)


@needs_browser
def test_a_tap_on_a_point_shows_its_measurements(browser: Browser, space: Path) -> None:
    browser.open(space, "step=10")
    visible, x, y = browser.run(
        "(({x, y}) => { const i = scene.points.findIndex((position) => !scene.hidden(position));"
        "const [px, py] = scene.camera.project(scene.points[i]); return [i, px + x, py + y]; })"
        "(byId('view').getBoundingClientRect())"
    )
    browser.touch(((x, y),))
    browser.wait("!byId('card').hidden")
    assert browser.run("byId('card').innerText").startswith(f"point {visible}, ")


@needs_browser
def test_both_phases_are_marked_on_the_track_and_in_every_chart(browser: Browser, tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    run.info["summary"]["dimple_step"] = 100
    browser.open(write_web_page(run, frames_from_run(run), tmp_path / "page.html"), "step=10")
    assert browser.run("[...byId('marks').children].map((mark) => mark.textContent.trim())")[1:3] == [
        "clung 10",
        "dimpled 100",
    ]
    names = "[...chart.querySelectorAll('text')].map((text) => text.textContent).filter((text) => isNaN(text[0]))"
    assert (
        browser.run(f"[...document.querySelectorAll('.chart svg[role]')].map((chart) => {names})")
        == [["step", "clung", "dimpled"]] * 2
    )
    assert browser.run("byId('phase').textContent") == "near the manifold, steps 10 to 100"


@needs_browser
@pytest.mark.parametrize("vision", ["protanopia", "deuteranopia", "tritanopia", "achromatopsia"])
def test_classes_differ_for_every_color_vision(browser: Browser, flat: Path, vision: str) -> None:
    browser.open(flat, "step=10")
    browser.ask("Emulation.setEmulatedVisionDeficiency", type=vision)
    try:
        picture = scene(browser).astype(float)
    finally:
        browser.ask("Emulation.setEmulatedVisionDeficiency", type="none")
    pixels = browser.run("[[0.5, 0.4, 0], [1.5, 1.2, 0]].map((position) => scene.camera.project(position))")
    inside, outside = (picture[round(y), round(x)] for x, y in pixels)
    if vision != "achromatopsia":
        assert np.linalg.norm(inside - outside) > 40
    # Without color the classes differ in shape, and a line separates the regions.
    assert browser.run("data.classes[0].shape !== data.classes[1].shape")
    row = picture[round(pixels[0][1]), round(pixels[0][0]) :].mean(1)
    assert row.min() < inside.mean() - 100


@needs_browser
def test_the_mouse_over_a_point_shows_its_measurements(browser: Browser, space: Path) -> None:
    browser.open(space, "step=10")
    visible = browser.run("scene.points.findIndex((position) => !scene.hidden(position))")
    assert browser.run("scene.points.some((position) => scene.hidden(position))")
    x, y = browser.run(
        f"(({{x, y}}) => scene.camera.project(scene.points[{visible}]).map((v, k) => v + [x, y][k]))"
        "(byId('view').getBoundingClientRect())"
    )
    browser.mouse("mouseMoved", x + 1, y + 1)
    browser.wait("!byId('card').hidden")
    assert browser.run("byId('card').innerText").startswith(f"point {visible}, class {visible % 2}")
    assert "boundary point" in browser.run("byId('card').innerText")
    browser.mouse("mouseMoved", 5, 5)
    browser.mouse("mouseMoved", x + 60, y + 60)
    browser.wait("byId('card').hidden")


@needs_browser
def test_the_fragment_restores_the_state(browser: Browser, space: Path) -> None:
    browser.open(space, "step=5.5")
    browser.key("ArrowUp")
    browser.key("m")
    browser.key("c")
    browser.wait("location.hash.includes('show=boundary,sides') && location.hash.includes('step=5.5')")
    fragment = browser.run("location.hash.slice(1)")
    picture = scene(browser)
    browser.open(space)
    assert np.abs(scene(browser).astype(int) - picture).mean() > 0.5
    browser.open(space, fragment)
    assert np.abs(scene(browser).astype(int) - picture).mean() < 0.5


@needs_browser
@pytest.mark.parametrize(
    "fragment", ["step=nonsense&eye=1,2&point=99", "step=1e99&eye=9e9,9e9,9e9,9e9,9e9&show=x", "%%%"]
)
def test_an_invalid_fragment_is_ignored(browser: Browser, space: Path, fragment: str) -> None:
    browser.open(space, fragment)
    assert browser.run("byId('step').textContent").startswith("step ")


PACE = "(([software, wait, extractionTime, count]) => { const pace = new Pace(software);"
PACE += "for (let i = 0; i < count; i++) pace.record(i * wait, extractionTime); return [pace.fraction, pace.limit]; })"


@needs_browser
def test_motion_has_the_finest_resolution_that_reaches_thirty_pictures_a_second(browser: Browser, space: Path) -> None:
    browser.open(space)
    # A picture takes 60 ms. If the time is proportional to the pixels, half of them in each direction are fast enough.
    assert browser.run(f"{PACE}([true, 60, 1, 7])") == [0.5, ""]
    # If the time does not depend on the pixels, the page shows the rate and the reason.
    assert browser.run(f"{PACE}([true, 90, 1, 60])") == [
        0.32,
        "11 pictures a second: software rendering, because there is no graphics card",
    ]
    assert browser.run(f"{PACE}([false, 90, 60, 60])") == [
        0.32,
        "11 pictures a second: finding the boundary between snapshots takes most of the time",
    ]
    for software in ("true", "false"):
        assert browser.run(f"{PACE}([{software}, 16.7, 1, 60])") == [1, ""]
    # Fast enough, but not fast enough for the next level: the resolution stays.
    assert browser.run(f"{PACE}([true, 33.4, 1, 60])") == [0.75, ""]


@needs_browser
def test_a_picture_at_rest_has_full_resolution(browser: Browser, space: Path) -> None:
    browser.open(space, "step=10")
    before = scene(browser)
    size = browser.run("[scene.canvas.width, scene.canvas.height]")
    sizes = browser.run(
        "(async () => { scene.pace.level = 4; markMoving(); await new Promise(requestAnimationFrame);"
        "await new Promise(requestAnimationFrame); return [scene.canvas.width, scene.canvas.height]; })()"
    )
    assert sizes[0] < 0.5 * size[0]
    assert is_same_picture(scene(browser), before)
    assert browser.run("[scene.canvas.width, scene.canvas.height]") == size


@needs_browser
def test_skipped_cells_are_not_crossed(browser: Browser, space: Path) -> None:
    browser.open(space)
    counts = browser.run(
        "(() => { const full = new SurfaceNets(scene.counts), counts = [];"
        "for (let time = 0; time <= LAST; time += 0.15) { Field.at(scene.field, time); const { now } = scene.field;"
        "counts.push([scene.nets.extract(now).indices, full.extract(now).indices]); } return counts; })()"
    )
    skipping, full = zip(*counts, strict=True)
    assert skipping == full and max(full) > 1000
    assert browser.run("scene.nets.near") < 127


@needs_browser
def test_the_settings_are_in_the_page(browser: Browser, space: Path) -> None:
    browser.open(space)
    assert browser.run("byId('settings').checkVisibility()") is False
    browser.run("document.querySelector('[popovertarget]').click()")
    assert browser.run("document.querySelector('#settings pre').innerText").startswith("name: <b>ball</b>")
    assert browser.run("getComputedStyle(byId('settings')).borderRadius") == "6px"
    browser.run("byId('copy').click()")
    assert browser.run("getSelection().toString()").startswith("name: <b>ball</b>")
    browser.run("document.querySelector('#settings [popovertarget]').click()")
    assert browser.run("byId('settings').checkVisibility()") is False


@needs_browser
def test_the_plane_shows_its_regions(browser: Browser, flat: Path) -> None:
    fractions = []
    for step in (0, 100):
        browser.open(flat, f"step={step}")
        picture = scene(browser).astype(int)
        fractions.append(float((picture[..., 0] - picture[..., 2] > 30).mean()))
    # Class 1 is orange, and its disc shrinks from radius 1.8 to 0.6.
    assert fractions[0] / fractions[1] == pytest.approx(9, rel=0.15)


@needs_browser
def test_a_run_without_a_picture_has_a_note_and_its_curves(browser: Browser, curves: Path) -> None:
    browser.open(curves)
    assert "no picture of its boundary" in browser.run("byId('note').textContent")
    browser.key("Home")
    assert browser.run("byId('step').textContent") == "step 0"
    assert browser.run("document.querySelectorAll('.chart').length") == 2


@needs_browser
def test_a_phone_shows_everything_in_one_column(browser: Browser, space: Path) -> None:
    browser.resize(390, 844, 2.0, mobile=True)
    try:
        browser.open(space)
        assert browser.run("document.documentElement.scrollWidth") <= 390
        tops = browser.run(
            "['stage', 'play', 'facts', 'charts'].map(id => byId(id).getBoundingClientRect().top + scrollY)"
        )
        assert tops == sorted(tops)
    finally:
        browser.resize(1280, 800)
