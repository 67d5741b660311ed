"""The report: one self-contained page made for looking, rebuilt from a run folder at any time.

run = read_run(folder)
pictures = collect_pictures(model, split, run.main, seed=0)
write_report(folder, pictures)
"""

from tightbound.report.collect import collect_pictures
from tightbound.report.layers import layer_grids, layer_kl
from tightbound.report.page import write_report
from tightbound.report.pictures import Pictures, RankedImages
from tightbound.report.run_folder import Evaluation, Run, read_run

__all__ = [
    "Evaluation",
    "Pictures",
    "RankedImages",
    "Run",
    "collect_pictures",
    "layer_grids",
    "layer_kl",
    "read_run",
    "write_report",
]
