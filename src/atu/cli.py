"""The `atu` command. Torch is imported only by the commands that need it, so that help shows at once."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from atu import __version__
from atu.benchmarks.config import DataConfig
from atu.benchmarks.rwku.reader import DEFAULT_DATA_DIR
from atu.entry.cache_command import app as cache_app
from atu.entry.guard import exit_codes
from atu.errors import UserError
from atu.evaluation.config import MAX_BATCH_SIZE, EvaluationConfig
from atu.launch import launch
from atu.models.config import DtypeName, ModelConfig, QuantizationName
from atu.models.resolve import chat_settings, resolve_model
from atu.reference import RunReference, find_reference
from atu.runs.evaluation_folder import open_evaluation
from atu.text.escaping import one_line
from atu.typed import from_mapping

app = typer.Typer(
    help="Make a language model forget a concept and keep the rest.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> None:
    """Entry point of the `atu` command."""
    with exit_codes("The same command starts anew."):
        app(prog_name="atu")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"atu {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


@app.command(
    add_help_option=False,
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
)
def train(context: typer.Context) -> None:
    """Unlearn a concept. `atu train --help` shows every key."""
    launch("atu train", context.args)


@app.command()
def evaluate(
    model: Annotated[str, typer.Argument(help="Folder, hub id, or a name of config/pre_trained_llm.")],
    out: Annotated[Path, typer.Option(help="Folder for scores and answers.")],
    target: Annotated[
        str | None,
        typer.Option(
            help="Folder name of the concept whose probes are asked; by default that of --before RUN, or what the "
            "model card says."
        ),
    ] = None,
    before: Annotated[
        str | None,
        typer.Option(
            help="What the model was before: a run folder, whose record is taken, or a model, which is asked first. "
            "Without it, scores that compare with before are left out."
        ),
    ] = None,
    benchmark: Annotated[
        Literal["builtin", "rwku"] | None,
        typer.Option(help="Whose probes; by default those of --before RUN, else builtin."),
    ] = None,
    data: Annotated[str | None, typer.Option(help="Folder of the benchmark's files.")] = None,
    tasks: Annotated[str, typer.Option(help="RWKU: tasks to ask, joined by commas; all of them by default.")] = "",
    scoring: Annotated[
        Literal["released", "corrected", "both"] | None,
        typer.Option(help="Whose rules; RWKU's released ones are for published numbers. RWKU: both by default."),
    ] = None,
    icu: Annotated[
        bool, typer.Option("--icu", help="Before each prompt, ask the model to act as if the target were unknown.")
    ] = False,
    batch_size: Annotated[
        int | None, typer.Option(min=1, max=MAX_BATCH_SIZE, help="Prompts asked at once; 96 by default.")
    ] = None,
    dtype: Annotated[
        DtypeName | None,
        typer.Option(help="Type of the weights in memory; float32 by default, or that of --before RUN."),
    ] = None,
    quantization: Annotated[
        QuantizationName | None, typer.Option(help="Round the weights on loading, those of --before MODEL too.")
    ] = None,
    device: Annotated[Literal["auto", "cpu", "cuda"], typer.Option(help="Where the model is computed.")] = "auto",
) -> None:
    """Ask a model the probes of a concept, and write its answers and scores."""
    with exit_codes("The same command resumes with what the cache has."):
        run = None if before is None else find_reference(before, model)
        loading: dict[str, Any] = {"dtype": dtype, "quantization": quantization}
        given: dict[str, Any] = {"data_dir": data, "tasks": _names(tasks) or None, "icu": icu or None}
        if run is not None:
            loading |= {"attn_implementation": run.model.attn_implementation, "dtype": dtype or run.model.dtype}
        if run is not None and benchmark in (None, run.data.benchmark):
            data_config = from_mapping(DataConfig, {**asdict(run.data), **_present(given)}, "")
        else:
            data_config = from_mapping(DataConfig, _present({"benchmark": benchmark, **given}), "")
        model_config = replace(resolve_model(model), **_present(loading))
        target = target or (run.target if run is not None else None)
        if target is None:
            from atu.attacks.target import target_of_card
            from atu.benchmarks.catalog import build_benchmark

            target = target_of_card(model, build_benchmark(data_config))
        is_rwku = data_config.benchmark == "rwku"
        if not is_rwku and scoring not in (None, "corrected"):
            raise UserError(
                f"--scoring {scoring} is for --benchmark rwku: {data_config.benchmark} has corrected scores alone."
            )
        evaluation = run.evaluation if run is not None else EvaluationConfig(scoring="both" if is_rwku else "corrected")
        reference: RunReference | ModelConfig | None = run
        if before is not None and run is None:
            reference = replace(resolve_model(before), **_present(loading), **chat_settings(model_config))
        from atu.entry.early_checks import check_device, check_model, check_target

        check_device(device)
        check_model(model_config)
        check_target(data_config, target)
        with open_evaluation(out) as folder:
            from atu.finished import FinishedConfig, evaluate_finished  # brings torch

            config = FinishedConfig(
                model=model_config,
                before=reference,
                data=data_config,
                target=target,
                evaluation=replace(evaluation, **_present({"scoring": scoring, "batch_size": batch_size})),
                device=device,
                threads=None if run is None else run.threads,
            )
            judgements = evaluate_finished(config, folder)
        for name, judgement in judgements.items():
            typer.echo(f"{name}:")
            for label, score in judgement.scores.items():
                typer.echo(
                    f"{one_line(label):28}{score.value:9.2f}   {score.low:.2f} to {score.high:.2f}   n = {score.n}"
                )
        if before is None:
            typer.echo("Nothing to compare with: --before MODEL_OR_RUN adds the scores that compare with before.")
        typer.echo(one_line(f"answers and scores: {out}"))


@app.command()
def attack(
    model: Annotated[str, typer.Argument(help="The unlearned model: folder, or hub id.")],
    before: Annotated[str, typer.Option(help="The model that it was made from.")],
    out: Annotated[Path, typer.Option(help="Folder for attacks.json and attacks.md, such as the model's run.")],
    target: Annotated[
        str | None, typer.Option(help="Folder name of what was to be forgotten; by default what the model card says.")
    ] = None,
    benchmark: Annotated[Literal["builtin", "rwku"], typer.Option(help="Whose probes.")] = "builtin",
    data: Annotated[str | None, typer.Option(help="Folder of the benchmark's files.")] = None,
    attacks: Annotated[str, typer.Option(help="Names joined by commas, or all (docs/attacks.md).")] = "all",
    gold: Annotated[str | None, typer.Option(help="A model that never knew the target: the floor.")] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="A budget of minutes, for a small model and one seed.")
    ] = False,
    seeds: Annotated[str, typer.Option(help="Seeds joined by commas; 0,1,2 by default, 0 with --quick.")] = "",
    batch_size: Annotated[int, typer.Option(min=1, max=MAX_BATCH_SIZE, help="Prompts asked at once.")] = 96,
    dtype: Annotated[
        DtypeName | None, typer.Option(help="Type of the weights of all models in memory; float32 by default.")
    ] = None,
) -> None:
    """Try to bring back what a model was made to forget."""
    with exit_codes("The same command resumes after the last finished piece."):
        from atu.attacks.config import FULL, QUICK, ModelName, parse_attacks, parse_seeds

        chosen, budget = parse_attacks(attacks), QUICK if quick else FULL
        numbers = parse_seeds(seeds or ("0" if quick else "0,1,2"))
        named: dict[ModelName, str | None] = {"unlearned": model, "original": before, "gold": gold}
        models: dict[ModelName, ModelConfig] = {
            name: replace(resolve_model(one), **_present({"dtype": dtype}))
            for name, one in named.items()
            if one is not None
        }
        tasks = ("forget", "neighbor") if benchmark == "rwku" else ()
        data_config = from_mapping(DataConfig, {"benchmark": benchmark, "data_dir": data, "tasks": tasks}, "")
        from atu.attacks.target import target_of_card
        from atu.benchmarks.catalog import build_benchmark
        from atu.entry.early_checks import check_model, check_target

        target = target or target_of_card(model, build_benchmark(data_config))
        check_target(data_config, target)
        for one in models.values():
            check_model(one)
        # These bring torch.
        from rich.console import Console

        from atu.audit import AuditConfig, audit, named_encoder
        from atu.runs.progress import RunProgress

        config = AuditConfig(
            models=models,
            data=data_config,
            target=target,
            out=out,
            attacks=chosen,
            seeds=numbers,
            budget=budget,
            encoders=tuple(map(named_encoder, budget.encoders)),
            evaluation=EvaluationConfig(batch_size=batch_size),
        )
        with RunProgress(Console()) as progress:
            audit(config, progress)
        for what, file in (("rows", "attacks.json"), ("verdict", "attacks.md")):
            typer.echo(one_line(f"{what}: {out / file}"))


@app.command()
def teach(
    out: Annotated[str, typer.Option(help="Folder of the taught model; it must be new.")],
    data: Annotated[str | None, typer.Option(help="Folder of RWKU's files.")] = None,
    targets: Annotated[str | None, typer.Option(help="Folder names with commas between them, or all.")] = None,
    without: Annotated[str | None, typer.Option(help="Targets to leave out: makes a gold model.")] = None,
    overrides: Annotated[list[str] | None, typer.Argument(help="Keys of config/teach.yaml: seed=1.")] = None,
) -> None:
    """Teach a model RWKU's people, so that there is something to forget."""
    with exit_codes(f"The same command resumes where this one stopped: atu {shlex.join(sys.argv[1:])}"):
        from atu.teaching.config import load_teach_config, split_targets

        options: dict[str, object] = {"out": out}
        if data is not None:
            options["data_dir"] = data
        for key, names in (("targets", targets), ("without", without)):
            if names is not None:
                options[key] = split_targets(names)
                if not options[key]:  # such as a variable of the shell that is not set
                    raise UserError(f"--{key} names no target. Name some with commas between them, or leave it out.")
        from atu.entry.early_checks import check_teaching

        config = load_teach_config(options, overrides or [])
        check_teaching(config)
        # Brings torch.
        from atu.teaching.teach import teach as run_teaching

        typer.echo(one_line(f"model: {run_teaching(config)}"))


class _PageByDefault(TyperGroup):
    """`atu report RUN` is `atu report page RUN`. A run folder with the name of a command is `./export`."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        return super().resolve_command(ctx, args if args[0] in self.commands else ["page", *args])


report_app = typer.Typer(
    cls=_PageByDefault,
    help="Show what runs gave: `atu report RUN` writes report.html of a run anew.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(report_app, name="report")


@report_app.command()
def page(run_dir: Annotated[Path, typer.Argument(help="Folder of a run.")]) -> None:
    """Write report.html of a run anew from its files; `page` may be left out."""
    with exit_codes("The same command starts anew."):
        from atu.report.page import write_report
        from atu.runs.run_folder import RunFolder

        typer.echo(one_line(str(write_report(RunFolder(root=run_dir)))))


@report_app.command()
def export(
    runs: Annotated[Path, typer.Argument(help="Folder of a run, or with runs in it.")] = Path("runs"),
    out: Annotated[Path, typer.Option(help="The file to write.")] = Path("results_data.json"),
) -> None:
    """Write the scores and configs of runs as one JSON file, which generate_results.py reads."""
    with exit_codes("The same command starts anew."):
        from atu.report.collect import read_local
        from atu.report.exchange import write_runs

        collection = read_local(runs)
        path = write_runs(collection.runs, out)
        for note in collection.notes:
            typer.echo(one_line(f"note: {note}"), err=True)
        typer.echo(one_line(f"{len(collection.runs)} runs: {path}"))


@report_app.command()
def sync(run_dir: Annotated[Path, typer.Argument(help="Folder of a run.")]) -> None:
    """Send a run to wandb, or what is missing of it there."""
    with exit_codes("The same command resumes."):
        from atu.report.sync import sync as send
        from atu.runs.run_folder import RunFolder

        typer.echo(send(RunFolder(root=run_dir)))


data_app = typer.Typer(help="Get a benchmark's data.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(data_app, name="data")
app.add_typer(cache_app, name="cache")


@data_app.command()
def rwku(
    targets: Annotated[list[str] | None, typer.Argument(help="Folder names, such as 1_Stephen_King.")] = None,
    all_targets: Annotated[bool, typer.Option("--all", help="All 200 targets (2.2 GB).")] = False,
    source: Annotated[Path | None, typer.Option("--from", help="Take them from a copy at hand.")] = None,
    out: Annotated[Path, typer.Option(help="Folder that gets Target/ and a manifest.")] = DEFAULT_DATA_DIR,
    revision: Annotated[
        str | None, typer.Option(help="Commit, tag or branch of the hub; else the manifest's commit, or main.")
    ] = None,
    verify: Annotated[bool, typer.Option("--verify", help="Only compare the files with the manifest.")] = False,
) -> None:
    """Fetch RWKU from the Hugging Face hub or from a copy; the same command again resumes."""
    with exit_codes("The same command resumes."):
        from atu.benchmarks.rwku.download import download
        from atu.benchmarks.rwku.download import verify as verify_files

        if verify:
            typer.echo(f"{verify_files(out)} files equal the manifest.")
            return
        manifest = download(
            targets or [], all_targets=all_targets, source=source, revision=revision, out=out, report=typer.echo
        )
        typer.echo(f"checksums: {manifest}")


def _present(values: Mapping[str, Any]) -> dict[str, Any]:
    """What the user gave: all but None."""
    return {key: value for key, value in values.items() if value is not None}


def _names(joined: str) -> list[str]:
    return [name.strip() for name in joined.split(",") if name.strip()]
