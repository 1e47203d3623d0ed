"""The `atu` command. Torch is imported only by the commands that need it, so that help shows at once."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from atu import __version__
from atu.benchmarks.catalog import BENCHMARKS, teaching_benchmarks
from atu.benchmarks.comparison import number
from atu.benchmarks.config import DataConfig
from atu.benchmarks.metrics import describe
from atu.benchmarks.options import OptionValue
from atu.entry.attack import AttackRequest, attack_model
from atu.entry.benchmark_options import BENCHMARK_NAMES, with_benchmark_options
from atu.entry.cache_command import app as cache_app
from atu.entry.chat import ChatRequest, chat_with_run, check_sides, models_of_run
from atu.entry.compare import example_prompts, read_prompts, two_models
from atu.entry.evaluate import EvaluationRequest, evaluate_model
from atu.entry.export import ExportRequest, export_run
from atu.entry.guard import exit_codes
from atu.entry.overrides import target_as_flag
from atu.entry.probes import ProbesRequest, propose_to_user
from atu.entry.push import PushRequest, push_run
from atu.errors import UserError
from atu.evaluation.config import MAX_BATCH_SIZE
from atu.launch import launch
from atu.models.config import DtypeName, QuantizationName
from atu.storage.files import disk_errors
from atu.text.escaping import one_line

app = typer.Typer(
    help="Make a language model forget a concept and keep the rest.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> None:
    """Entry point of the `atu` command."""
    with exit_codes("The same command starts anew."):
        app(target_as_flag(sys.argv[1:]) if sys.argv[1:2] != ["train"] else None, prog_name="atu")


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
@with_benchmark_options("evaluate")
def evaluate(
    model: Annotated[str, typer.Argument(help="Folder, hub id, or a name of config/pre_trained_llm.")],
    out: Annotated[Path, typer.Option(help="Folder for scores and answers.")],
    target: Annotated[
        str | None,
        typer.Option(
            help="Folder name of the concept whose probes are asked, or several with commas between them; by default "
            "that of --before RUN, or what the model card says."
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
        str | None,
        typer.Option(
            metavar=BENCHMARK_NAMES,
            help=f"Whose probes; by default those of --before RUN, else {DataConfig.benchmark}.",
        ),
    ] = None,
    data: Annotated[str | None, typer.Option(help="Folder of the benchmark's files.")] = None,
    scoring: Annotated[
        Literal["released", "corrected", "both"] | None,
        typer.Option(
            help="Whose rules; a benchmark's released ones are for published numbers. Both by default, where it has "
            "them."
        ),
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
    **options: OptionValue,
) -> None:
    """Ask a model the probes of a concept, and write its answers and scores."""
    with exit_codes("The same command resumes with what the cache has."):
        request = EvaluationRequest(
            model=model,
            out=out,
            target=target,
            before=before,
            benchmark=benchmark,
            data_dir=data,
            options=options,
            scoring=scoring,
            icu=icu,
            batch_size=batch_size,
            dtype=dtype,
            quantization=quantization,
            device=device,
        )
        for name, judgement in evaluate_model(request).items():
            typer.echo(f"{name}:")
            for label, score in judgement.scores.items():
                value, low, high = (number(one, describe(label).unit) for one in (score.value, score.low, score.high))
                typer.echo(f"{one_line(label):36}{value:>8}   {low} to {high}   n = {score.n}")
        if before is None:
            typer.echo("Nothing to compare with: --before MODEL_OR_RUN adds the scores that compare with before.")
        typer.echo(one_line(f"answers and scores: {out}"))


@app.command()
@with_benchmark_options("attack")
def attack(
    model: Annotated[str, typer.Argument(help="The unlearned model: folder, or hub id.")],
    before: Annotated[str, typer.Option(help="The model that it was made from.")],
    out: Annotated[Path, typer.Option(help="Folder for attacks.json and attacks.md, such as the model's run.")],
    target: Annotated[
        str | None, typer.Option(help="Folder name of what was to be forgotten; by default what the model card says.")
    ] = None,
    benchmark: Annotated[str, typer.Option(metavar=BENCHMARK_NAMES, help="Whose probes.")] = DataConfig.benchmark,
    data: Annotated[str | None, typer.Option(help="Folder of the benchmark's files.")] = None,
    forget: Annotated[
        str | None, typer.Option(help="File of texts about the target; by default the model before writes them.")
    ] = None,
    retain: Annotated[str | None, typer.Option(help="File of texts about anything else, with --forget.")] = None,
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
    **options: OptionValue,
) -> None:
    """Try to bring back what a model was made to forget."""
    with exit_codes("The same command resumes after the last finished piece."):
        request = AttackRequest(
            model=model,
            before=before,
            gold=gold,
            out=out,
            target=target,
            benchmark=benchmark,
            data_dir=data,
            options=options,
            forget=forget,
            retain=retain,
            attacks=attacks,
            quick=quick,
            seeds=seeds,
            batch_size=batch_size,
            dtype=dtype,
        )
        attack_model(request)
        for what, file in (("rows", "attacks.json"), ("verdict", "attacks.md")):
            typer.echo(one_line(f"{what}: {out / file}"))


@app.command()
def probes(
    name: Annotated[str, typer.Argument(help="The concept, such as 'Marie Curie'.")],
    out: Annotated[Path, typer.Option(help="The file to write: JSON lines, as data.probes_path takes them.")],
    model: Annotated[
        str, typer.Option(help="Folder, hub id, or a name of config/pre_trained_llm.")
    ] = "smollm2-135m-instruct",
    description: Annotated[str | None, typer.Option(help="One sentence about the concept.")] = None,
    neighbors: Annotated[
        str | None, typer.Option(help="Names that must stay, with commas between them; filled up from a general list.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Another one gives other questions.")] = 0,
    device: Annotated[Literal["auto", "cpu", "cuda"], typer.Option(help="Where the model is computed.")] = "auto",
) -> None:
    """Have a model propose questions about a concept, with its own answers, to judge forgetting by."""
    with exit_codes("The same command starts anew."):
        request = ProbesRequest(
            target=name,
            out=out,
            model=model,
            description=description,
            neighbors=neighbors,
            seed=seed,
            device=device,
        )
        for line in propose_to_user(request):
            typer.echo(one_line(line))


@app.command()
def chat(
    run: Annotated[Path, typer.Argument(help="Folder of a run that is done.")],
    max_new_tokens: Annotated[int, typer.Option(min=1, max=4096, help="Length of an answer.")] = 96,
    device: Annotated[Literal["auto", "cpu", "cuda"], typer.Option(help="Where the models are computed.")] = "auto",
) -> None:
    """Ask the models before and after a run the same things, side by side.

    Each prompt is asked by itself. Prompts may also come from a file or pipe, one a line.
    """
    with exit_codes("The same command starts anew."):
        from rich.console import Console

        chat_with_run(ChatRequest(run=run, max_new_tokens=max_new_tokens, device=device), Console())


@app.command()
def compare(
    first: Annotated[str, typer.Argument(metavar="A", help="A run's folder, a model's folder, a hub id, or a name.")],
    second: Annotated[str, typer.Argument(metavar="B", help="Another one.")],
    prompts: Annotated[Path, typer.Option(help='File with a prompt a line, or JSON lines with a "prompt".')],
    out: Annotated[Path, typer.Option(help="The page to write, such as compared.html.")],
    max_new_tokens: Annotated[int, typer.Option(min=1, max=4096, help="Length of an answer.")] = 96,
    device: Annotated[Literal["auto", "cpu", "cuda"], typer.Option(help="Where the models are computed.")] = "auto",
) -> None:
    """Ask two models the prompts of a file, and write a page with their answers side by side."""
    with exit_codes("The same command starts anew."):
        asked = read_prompts(prompts)
        models = two_models(first, second)
        check_sides(models, device)
        with disk_errors(out):  # before minutes of asking
            out.parent.mkdir(parents=True, exist_ok=True)
        # These bring torch.
        from rich.console import Console

        from atu.chat import answer_all, different_parts, load_sides
        from atu.report.compare_page import ComparedPrompt, write_comparison
        from atu.runs.progress import RunProgress

        with RunProgress(Console(stderr=True)) as progress:
            sides = load_sides(models, device=device)
            answers = []
            for side in sides:
                with progress.stage(f"asking {one_line(side.title)} {len(asked)} prompts") as advance:
                    answers.append(answer_all(side.llm, asked, max_new_tokens=max_new_tokens, progress=advance))
        rows = [
            ComparedPrompt(prompt, different_parts(said))
            for prompt, said in zip(asked, zip(*answers, strict=True), strict=True)
        ]
        write_comparison(out, [side.title for side in sides], rows)
        typer.echo(one_line(f"page: {out}"))


@app.command()
def demo(
    run: Annotated[Path, typer.Argument(help="Folder of a run that is done.")],
    port: Annotated[int, typer.Option(min=0, max=65535, help="Of the address; 0 for one that is free.")] = 7860,
    max_new_tokens: Annotated[int, typer.Option(min=1, max=4096, help="Length of an answer.")] = 96,
    device: Annotated[Literal["auto", "cpu", "cuda"], typer.Option(help="Where the models are computed.")] = "auto",
) -> None:
    """Serve a web page on this machine alone, to ask the models before and after a run, until Ctrl-C."""
    with exit_codes("The same command starts anew."):
        models = models_of_run(run)
        check_sides(models, device)
        from atu.chat import answer_all, different_parts, load_sides  # brings torch
        from atu.report.compare_page import demo_page
        from atu.report.demo import demo_server

        sides = load_sides(models, device=device)

        def ask(prompt: str) -> list[list[tuple[str, bool]]]:
            said = [answer_all(side.llm, [prompt], max_new_tokens=max_new_tokens)[0] for side in sides]
            return different_parts(said)

        page = demo_page([side.title for side in sides], one_line(run.resolve().name), example_prompts(run))
        with demo_server(page, ask, port) as (server, address):
            typer.echo(one_line(f"Open {address} in a browser. Ctrl-C ends."))
            server.serve_forever()


@app.command()
def push(
    run: Annotated[Path, typer.Argument(help="Folder of a run that is done.")],
    repository: Annotated[str, typer.Argument(metavar="USER/NAME", help="Where it goes on the Hugging Face hub.")],
    private: Annotated[bool, typer.Option("--private", help="A new repository is private.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would go, and send nothing.")] = False,
) -> None:
    """Share a run's model with its card and report on the Hugging Face hub."""
    with exit_codes("The same command starts anew; what is there already is not sent twice."):
        for line in push_run(PushRequest(run=run, repository=repository, private=private, dry_run=dry_run)):
            typer.echo(one_line(line))


@app.command("export")
def export_gguf(
    run: Annotated[Path, typer.Argument(help="Folder of a run that is done.")],
    out: Annotated[Path, typer.Option(help="The GGUF file to write.")],
    outtype: Annotated[
        Literal["f32", "f16", "bf16", "q8_0"], typer.Option(help="Type of the weights in the file.")
    ] = "bf16",
) -> None:
    """Write a run's model as a GGUF file, for llama.cpp and what builds on it; needs llama.cpp's converter."""
    with exit_codes("The same command starts anew."):
        model = export_run(ExportRequest(run=run, out=out, type=outtype))
        typer.echo(one_line(f"model: {model}"))
        typer.echo(one_line(f"speak with it: llama-cli -m {shlex.quote(str(model))}"))


@app.command()
def teach(
    out: Annotated[str, typer.Option(help="Folder of the taught model; it must be new.")],
    benchmark: Annotated[
        str | None, typer.Option(metavar="|".join(teaching_benchmarks()), help="Whose facts; rwku by default.")
    ] = None,
    data: Annotated[str | None, typer.Option(help="Folder of the benchmark's files.")] = None,
    targets: Annotated[str | None, typer.Option(help="Names of parts with commas between them, or all.")] = None,
    without: Annotated[str | None, typer.Option(help="Parts to leave out: makes a gold (retain) model.")] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Teach only so many people, authors or documents of the benchmark.")
    ] = None,
    overrides: Annotated[list[str] | None, typer.Argument(help="Keys of config/teach.yaml: seed=1.")] = None,
) -> None:
    """Teach a model what a benchmark asks about, so that there is something to forget."""
    with exit_codes(f"The same command resumes where this one stopped: atu {shlex.join(sys.argv[1:])}"):
        from atu.teaching.config import load_teach_config, split_targets

        options: dict[str, object] = {"out": out}
        for key, value in (("benchmark", benchmark), ("data_dir", data), ("limit", limit)):
            if value is not None:
                options[key] = value
        for key, names in (("targets", targets), ("without", without)):
            if names is not None:
                options[key] = split_targets(names)
                if not options[key]:  # such as a variable of the shell that is not set
                    raise UserError(f"--{key} names nothing. Name some with commas between them, or leave it out.")
        from atu.entry.early_checks import check_teaching

        config = load_teach_config(options, overrides or [])
        check_teaching(config)
        # Brings torch.
        from atu.teaching.teach import teach as run_teaching

        typer.echo(one_line(f"model: {run_teaching(config)}"))


@app.command()
def sequence(
    runs: Annotated[list[Path], typer.Argument(help="Folders of runs, each begun with the model of the one before.")],
    out: Annotated[Path, typer.Option(help="Folder for the tables and the answers of each model.")],
    batch_size: Annotated[
        int | None, typer.Option(min=1, max=MAX_BATCH_SIZE, help="Prompts asked at once; as in the first run.")
    ] = None,
    device: Annotated[Literal["auto", "cpu", "cuda"], typer.Option(help="Where the models are computed.")] = "auto",
) -> None:
    """Ask the models of runs that follow one another about the concepts of all of them: one table."""
    with exit_codes("The same command resumes with what the cache has."):
        from atu.entry.sequence import ask_in_sequence

        for line in ask_in_sequence(runs, out, batch_size=batch_size, device=device).splitlines():
            typer.echo(one_line(line))


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


def _resumable(command: Callable[..., None]) -> Callable[..., None]:
    """A benchmark's command, which may be called again when it was stopped."""

    @wraps(command)
    def run(*arguments: Any, **options: Any) -> None:
        with exit_codes("The same command resumes."):
            command(*arguments, **options)

    return run


for _name, _benchmark in BENCHMARKS.items():
    if (_command := _benchmark.data_command()) is not None:
        data_app.command(_name)(_resumable(_command))
