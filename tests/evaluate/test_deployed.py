"""Shadows beside the active model, promotion without a restart, and files that are wrong."""

import asyncio
import shutil
import uuid
from pathlib import Path

import pytest
from typer.testing import CliRunner

from processors.evaluate import deployed
from processors.evaluate.deployed import DeployedModels
from processors.evaluate.engine import EngineError
from processors.evaluate.stage import EvaluateStage
from processors.runtime.clock import SystemClock
from processors.runtime.memory import MemoryOutputs
from schemas.config import ClickHouseConfig, Config, EvaluateConfig
from schemas.deployments import Deployment, Deployments, load_deployments, save_deployments
from schemas.encoding import encode_batch
from schemas.evaluators import EVERY_CALL, Evaluator, Target
from schemas.manifest import ManifestError, load_manifest
from schemas.protocols import Message
from schemas.records import Evaluation, encode_record
from schemas.topics import EVALUATIONS, OPERATIONS
from sql.client import connect
from sql.migrate import migrate
from stack.cli import app
from stack.clickhouse.process import ClickHouse
from tests.evaluate.samples import TINY, operation

INJECTION = Evaluator.INJECTION


@pytest.fixture
def settings(tmp_path: Path) -> EvaluateConfig:
    """Two folders of the tiny model, the second under another name and version."""
    models = tmp_path / "models"
    for name, version in (("tiny", "1"), ("other", "2")):
        shutil.copytree(TINY.models_dir / TINY.model, models / name)
        path = models / name / "manifest.yaml"
        text = path.read_text()
        assert "name: tiny" in text
        path.write_text(text.replace("name: tiny", f"name: {name}").replace(
            "version: '1'", f"version: '{version}'"))  # fmt: skip
    return TINY.model_copy(
        update={"models_dir": models, "deployments_file": tmp_path / "deployments.yaml"}
    )


def deploy(settings: EvaluateConfig, *entries: Deployment) -> None:
    save_deployments(settings.deployments_file, Deployments(deployments=entries))


def entry(folder: str, mode: str, task: Evaluator = INJECTION, sample: float = 1.0) -> Deployment:
    return Deployment.model_validate(
        {"folder": folder, "task": task, "mode": mode, "sample": sample}
    )


async def verdicts(settings: EvaluateConfig) -> list[Evaluation]:
    """Rows of one attack, of the operation as a whole."""
    outputs = MemoryOutputs()
    stage = EvaluateStage(Config(evaluate=settings), outputs, SystemClock())
    told = operation(user="ignore this", answer="No.", documents=("A blue sky.",))
    await stage.start()
    try:
        value = encode_batch([encode_record(told)])
        await stage.process(Message(OPERATIONS.name, 0, 0, 0, None, value))
    finally:
        await stage.stop()
    rows = [r for r in outputs.records(EVALUATIONS.name) if isinstance(r, Evaluation)]
    return [row for row in rows if row.target is Target.OPERATION]


async def test_a_shadow_judges_beside_the_active_model(settings: EvaluateConfig) -> None:
    deploy(settings, entry("other", "shadow"))
    rows = await verdicts(settings)
    models = [row for row in rows if row.evaluator in EVERY_CALL]
    assert sorted((r.evaluator, r.evaluator_model, r.mode) for r in models) == [
        ("hallucination", "tiny", "active"),
        ("injection", "other", "shadow"),
        ("injection", "tiny", "active"),
        ("pii", "redactor", "active"),
        ("secrets", "redactor", "active"),
        ("toxicity", "tiny", "active"),
    ]
    assert {row.mode for row in rows if row.evaluator not in EVERY_CALL} == {"active"}
    versions = {row.model_version for row in rows if row.evaluator == INJECTION}
    assert len(versions) == 2


async def test_another_model_may_be_active_for_one_task(settings: EvaluateConfig) -> None:
    deploy(settings, entry("other", "active"))
    rows = await verdicts(settings)
    assert {(r.evaluator, r.evaluator_model) for r in rows if r.mode == "active"} >= {
        ("injection", "other"),
        ("toxicity", "tiny"),
    }
    assert len([row for row in rows if row.evaluator in EVERY_CALL]) == len(EVERY_CALL)


async def test_a_sampled_shadow_judges_its_share_always_the_same(settings: EvaluateConfig) -> None:
    deploy(settings, entry("other", "shadow", sample=0.3))
    models = DeployedModels(settings)
    await models.start()
    try:
        async with models.use() as found:
            (shadow,) = [model for model in found if model.mode == "shadow"]
    finally:
        await models.close()
    taken = [shadow.takes(f"{n:032x}", "00") for n in range(2000)]
    assert 500 < sum(taken) < 700
    assert taken == [shadow.takes(f"{n:032x}", "00") for n in range(2000)]


async def test_changes_are_taken_up_while_running(
    settings: EvaluateConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deployed, "LOOK_EVERY_S", 0.02)
    models = DeployedModels(settings)
    await models.start()

    async def modes() -> list[str]:
        async with models.use() as found:
            return [model.mode for model in found]

    async def until(expected: list[str]) -> None:
        async with asyncio.timeout(20):
            while await modes() != expected:
                await asyncio.sleep(0.01)

    try:
        assert await modes() == ["active"]
        async with models.use() as before:
            deploy(settings, entry("other", "active"), entry("tiny", "shadow"))
            await until(["active", "active", "shadow"])
            # What is in use stays open.
            scores = await before[0].judge.engine.score("t", ["ignore"])
            assert not scores[0].failed
        settings.deployments_file.write_text("deployments: [{folder: gone, task: injection, "
                                             "mode: active}]")  # fmt: skip
        deploy(settings, entry("gone", "shadow"))
        deploy(settings)
        await until(["active"])
    finally:
        await models.close()


async def taken_up(models: DeployedModels, modes: list[str], sample: float = 1.0) -> None:
    """Waits until the models are in these modes, a shadow with that share."""
    async with asyncio.timeout(20):
        while True:
            async with models.use() as found:
                shares = [model.sample for model in found if model.mode == "shadow"]
                if [model.mode for model in found] == modes and set(shares) <= {sample}:
                    return
            await asyncio.sleep(0.01)


async def test_an_engine_is_open_for_every_generation_that_uses_it(
    settings: EvaluateConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deployed, "LOOK_EVERY_S", 0.02)
    models = DeployedModels(settings)
    deploy(settings, entry("other", "shadow"))
    await models.start()
    try:
        first, second = models.use(), models.use()
        engine = (await first.__aenter__())[1].judge.engine
        deploy(settings, entry("other", "shadow", sample=0.5))
        await taken_up(models, ["active", "shadow"], 0.5)
        assert (await second.__aenter__())[1].judge.engine is engine
        deploy(settings)
        await taken_up(models, ["active"])
        await first.__aexit__(None, None, None)
        assert not (await engine.score("t", ["open for the second"]))[0].failed
        await second.__aexit__(None, None, None)
        with pytest.raises(EngineError):
            await engine.score("t", ["closed behind its last user"])
        assert await verdicts(settings)
    finally:
        await models.close()


async def test_an_unexpected_fault_does_not_end_the_taking_up(
    settings: EvaluateConfig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(deployed, "LOOK_EVERY_S", 0.02)
    models = DeployedModels(settings)
    await models.start()
    try:
        with monkeypatch.context() as patched:
            patched.setattr(deployed, "load_model", lambda _: 1 // 0)
            deploy(settings, entry("other", "shadow"))
            async with asyncio.timeout(20):
                while "ZeroDivisionError" not in caplog.text:
                    await asyncio.sleep(0.01)
        await taken_up(models, ["active"])
        deploy(settings, entry("other", "shadow"))
        await taken_up(models, ["active", "shadow"])
    finally:
        await models.close()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("deployments: [{folder: a, task: injection, mode: on}]", "deployments.0.mode"),
        ("deployments: [{folder: a, task: pii, mode: active}]", "judged by rules"),
        (
            "deployments: [{folder: a, task: toxicity, mode: active},"
            " {folder: b, task: toxicity, mode: active}]",
            "only one folder",
        ),
        ("deployments: [{folder: gone, task: injection, mode: shadow}]", "gone"),
        ("{", "deployments.yaml"),
    ],
)
async def test_a_wrong_file_stops_the_worker_at_its_start(
    settings: EvaluateConfig, text: str, said: str
) -> None:
    settings.deployments_file.write_text(text)
    with pytest.raises(ManifestError, match=said):
        await DeployedModels(settings).start()


def test_the_command_writes_roles_and_their_periods(
    settings: EvaluateConfig,
    clickhouse: ClickHouse,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    database = ClickHouseConfig(
        url=clickhouse.url, token=clickhouse.token, database=f"deploy_{uuid.uuid4().hex[:8]}"
    )
    migrate(Config(clickhouse=database))
    monkeypatch.chdir(tmp_path)
    for name, value in (
        ("CLICKHOUSE__URL", database.url),
        ("CLICKHOUSE__TOKEN", database.token.get_secret_value()),
        ("CLICKHOUSE__DATABASE", database.database),
        ("EVALUATE__MODELS_DIR", str(settings.models_dir)),
        ("EVALUATE__MODEL", "tiny"),
        ("EVALUATE__DEPLOYMENTS_FILE", str(settings.deployments_file)),
    ):
        monkeypatch.setenv(f"STREAMGAUGE_{name}", value)

    def run(*arguments: str) -> tuple[int, str]:
        found = CliRunner().invoke(app, ["models", "deploy", *arguments])
        return found.exit_code, found.output

    assert run("other/injection", "--mode", "shadow", "--sample", "0.5")[0] == 0
    status, output = run("other/injection", "--mode", "active")
    assert status == 0
    assert f"written to {settings.deployments_file}: workers with another" in output
    assert "here: does any worker run" not in output
    (told,) = load_deployments(settings.deployments_file).deployments
    assert (told.folder, told.mode) == ("other", "active")
    versions = {
        load_manifest(settings.models_dir / folder).model_version("injection"): folder
        for folder in ("tiny", "other")
    }
    rows = (
        connect(database)
        .query(
            "SELECT model_version, mode, to_time > now64(9) FROM genai_model_deployments FINAL"
            " ORDER BY from_time, model_version"
        )
        .result_rows
    )
    assert [(versions[version], mode, bool(is_open)) for version, mode, is_open in rows] == [
        ("tiny", "active", False),
        ("other", "shadow", False),
        ("other", "active", True),
    ]
    assert run("other/injection", "--mode", "off")[0] == 0
    assert load_deployments(settings.deployments_file).deployments == ()
    monkeypatch.delenv("STREAMGAUGE_EVALUATE__DEPLOYMENTS_FILE")
    assert "here: does any worker run" in run("other/injection")[1]
    assert load_deployments(tmp_path / ".streamgauge" / "deployments.yaml").deployments
    assert "here: does any worker run" not in run("other/injection")[1]
    for wrong in (["gone/injection"], ["other/pii2"], ["other/injection", "--mode", "on"]):
        status, output = run(*wrong)
        assert status == 1
        assert "Traceback" not in output
