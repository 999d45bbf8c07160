"""The section of the report on segmentation."""

from pathlib import Path
from typing import Any

from experiments.common.reporting import provenance, reason, table, with_error

KNOWN = ("mIoU", "accuracy", "ECE", "NLL")
COMPARED = ("AUROC", "AUROC among objects")
NOISES = {"spatial": "spatial dropout", "drop_block": "DropBlock"}


def section(path: Path, run: dict[str, Any], link: str) -> str:
    """Scores of known pixels, how well uncertainties find unseen objects, and the time of a scene."""
    config = run["config"]
    metrics = {name: values for name, values in run["metrics"].items() if "mIoU" in values}
    finding = {name: values for name, values in run["metrics"].items() if "AUROC" in values}
    (baseline, _), *others = metrics.items()
    known = [
        (
            f"{score}{place}",
            *(with_error(values, f"{score}{beside}", 4) for values in metrics.values()),
            *(with_error(values, f"{score}{beside}, difference", 4) for _, values in others),
        )
        for beside, place in (("", ""), (", unseen beside", ", an unseen object beside"))
        for score in KNOWN
    ]
    areas = [f"{area}{among}" for among in ("", " among objects") for area in ("AUROC", "AUPR")]
    found = [
        (
            name,
            *(with_error(values, area, 4) for area in areas),
            *(with_error(values, f"{area}, difference", 4) for area in COMPARED),
        )
        for name, values in finding.items()
    ]
    times = [
        (f"{column}{name.removeprefix('ms')}", with_error(values, name, 1))
        for column, values in metrics.items()
        for name in values
        if name.startswith("ms") and not name.endswith(", error")
    ]
    rate = f"{NOISES[config['noise']]} at {config['rate']:g}"
    picture = [f"![Maps of uncertainty]({link}{path.stem}.png)\n"] if path.with_suffix(".png").exists() else []
    return "\n".join(
        [
            f"## Segmentation of scenes of digits: {rate}\n",
            *picture,
            table(("known pixels", *metrics, *(f"{name} minus {baseline}" for name, _ in others)), known),
            f"\n{config['num_test']} test scenes of {config['size']} x {config['size']} pixels, "
            f"{config['num_samples']} samples; mean ± standard error over "
            f"{config['num_seeds']} networks. {provenance(path, run, link)}\n",
            *reason(path),
            table(("pixels found by", *areas, *(f"{area}, difference" for area in COMPARED)), found),
            f"\nPixels of unseen objects against all others, and against those of digits; differences to "
            f"{next(iter(finding))}, network by network.\n",
            f"{table(('one scene', 'ms'), times)}\n",
        ]
    )
