"""Two examples of each command, below its help. A test parses them."""

EXAMPLES: dict[str, tuple[str, str]] = {
    "": ("simulate sphere_in_3d", "probe --quick"),
    "simulate": ("simulate sphere_in_3d", "simulate mine.yaml --set training.steps=500 --no-film --out runs/mine"),
    "train": ("train plane_in_3d", "train mnist_standard --data mnist:data/mnist --device cuda"),
    "view": ("view runs/sphere_in_3d-0", "view runs/plane_in_3d-0 runs/plane_in_3d_adversarial-0"),
    "export": ("export runs/sphere_in_3d-0 -o film.gif", "export runs/sphere_in_3d-0 --figure margin.pdf"),
    "probe": (
        "probe --quick",
        "probe --model 'nets.py:Net(3, width=64)' --data npz:my.npz epochs/*",
    ),
    "gather": ("gather runs/series", "gather runs/series --missing"),
    "status": ("status runs/series", "status runs/series --json"),
    "slice": ("slice --images 3,17,42", "slice --run runs/torus_in_3d-0 --images 0 --dim 3"),
    "report": ("report runs/probe-digits_convnet-0", "report runs/plane_in_3d-0 -o plane.html"),
    "compare": ("compare runs/standard runs/adversarial", "compare seed-0.dimple seed-1.dimple -o seeds.html"),
    "explain": ("explain margin_on_ratio", "explain runs/probe-digits_convnet-0"),
    "claims": ("claims --list", "claims shamir2021 --full --data mnist:data/mnist"),
    "fetch": ("fetch", "fetch cifar10 resnet20"),
    "gallery": ("gallery site --lesson", "gallery site --scene sphere_in_3d --scene mine.yaml --jobs 2"),
    "napari": ("napari runs/sphere_in_3d-0", "napari mine.dimple"),
    "pack": ("pack runs/sphere_in_3d-0", "pack runs/sphere_in_3d-0 -o sphere.dimple"),
    "check": ("check runs/sphere_in_3d-0", "check runs/* sphere.dimple --json"),
    "completeness": ("completeness runs/torus_in_3d-0", "completeness runs/torus_in_3d-0 --resolution 128 --step 0"),
    "docs": ("docs", "--debug docs"),
    "doctor": ("doctor", "doctor --json"),
    "scenes": ("scenes", "scenes show torus_in_3d"),
    "scenes list": ("scenes list", "scenes list | grep torus"),
    "scenes kinds": ("scenes kinds", "scenes kinds manifold"),
    "scenes show": ("scenes show torus_in_3d", "scenes show mine.yaml --set data.sampling.count=200 --json"),
    "scenes check": ("scenes check mine.yaml", "scenes check sphere_in_3d --set manifold.dim=5"),
    "scenes schema": ("scenes schema", "scenes schema > scene.schema.json"),
    "scenes new": ("scenes new", "scenes new mine.yaml"),
    "scenes tangents": ("scenes tangents torus_in_3d", "scenes tangents mine.yaml --points 2000 -o tangents.png"),
}


def format_examples(command: str) -> str:
    """Return the text below the help of a command; the mark keeps its lines.

    Example:
        >>> print(format_examples("docs").replace(chr(8), ""))
        <BLANKLINE>
        Examples:
          dimple docs
          dimple --debug docs
    """
    return "\b\nExamples:\n" + "\n".join(f"  dimple {line}" for line in EXAMPLES[command])
