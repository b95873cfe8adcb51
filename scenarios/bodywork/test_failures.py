"""What goes wrong with pipelines, each told by its true reason and within its limit."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

import pytest

from harness.assembly import Assembly
from harness.deploy.bodywork import BodyworkDeployer, Pipeline
from harness.deploy.bodywork_base import Workflow
from harness.errors import BodyworkError, BodyworkProjectError, BodyworkStageError
from harness.outside.git import Change, GitHost
from harness.outside.s3 import ObjectStore
from harness.scoring.request import ScoreRequest
from scenarios.bodywork.conftest import (
    ALWAYS_FAILS,
    BUCKET,
    NAMESPACE,
    PROJECT,
    REPOSITORY,
    SMALL,
    SMALL_YAML,
    TRAIN,
    NeverStarts,
)

# Seconds for a workflow to fail that need not wait for a limit of its own; about ten of them are Bodywork's pauses.
SOON_S = 90.0


@pytest.mark.parametrize(
    ("files", "reason", "said"),
    [
        pytest.param(
            {"train/train.py": ALWAYS_FAILS},
            "stage failed",
            "RuntimeError: no flower grows here",
            id="its code raises",
        ),
        pytest.param(
            {
                "bodywork.yaml": SMALL_YAML.replace(
                    "train/train.py", "train/train.py\n    requirements: [joblib==99.9.9]"
                )
            },
            "bad requirement",
            "No matching distribution found for joblib==99.9.9",
            id="a pinned version is nowhere",
        ),
    ],
)
def test_a_batch_stage_fails(
    small: Pipeline,
    pipelines: BodyworkDeployer,
    bucket: ObjectStore,
    git: GitHost,
    files: dict[str, str],
    reason: str,
    said: str,
) -> None:
    """It is retried once, as its `retries` say; the stage after it is not begun; what it said itself is the reason."""
    git.push(SMALL, Change(files))
    with pytest.raises(BodyworkStageError) as caught:
        pipelines.run(small, timeout_s=SOON_S)
    assert caught.value.reason == reason
    assert said in str(caught.value)
    assert f"job={small.service('train')} in namespace={small.namespace}" in str(caught.value)
    assert pipelines.deployed(small).resources == ()
    if ALWAYS_FAILS in files.values():
        assert len(bucket.keys(BUCKET, "tries/")) == 2
    assert said in Path(caught.value.log).read_text()
    git.push(SMALL, Change({"bodywork.yaml": SMALL_YAML, "train/train.py": "print('mended')\n"}))


@pytest.mark.parametrize(
    ("yaml", "reason", "said"),
    [
        pytest.param("version: [\n", "malformed configuration", "cannot parse YAML", id="no YAML"),
        pytest.param(
            SMALL_YAML.replace("DAG: train >> serve", ""), "invalid configuration", "'project'", id="a field is missing"
        ),
        pytest.param(
            SMALL_YAML.replace("core:latest", "core:1.0"),
            "no such image",
            "bodyworkml/bodywork-core:1.0",
            id="it names an image that is nowhere",
        ),
    ],
)
def test_a_push_breaks_the_configuration(
    small: Pipeline, pipelines: BodyworkDeployer, git: GitHost, yaml: str, reason: str, said: str
) -> None:
    """The next run says what is wrong with bodywork.yaml, not where Bodywork stumbled."""
    git.push(SMALL, Change({"bodywork.yaml": yaml}))
    with pytest.raises(BodyworkProjectError) as caught:
        pipelines.run(small, timeout_s=SOON_S)
    assert (caught.value.reason, said in str(caught.value)) == (reason, True)
    assert "Traceback" not in str(caught.value)
    git.push(SMALL, Change({"bodywork.yaml": SMALL_YAML}))


def test_a_branch_is_missing(small: Pipeline, pipelines: BodyworkDeployer) -> None:
    """Bodywork's traceback is about a local variable; the reason is git's."""
    with pytest.raises(BodyworkProjectError, match="Remote branch nowhere not found") as caught:
        pipelines.run(replace(small, branch="nowhere"), timeout_s=SOON_S)
    assert caught.value.reason == "no such branch"


def test_a_schedule_makes_no_sense(pipeline: Pipeline, pipelines: BodyworkDeployer) -> None:
    """Bodywork ends with 0 and makes nothing."""
    with pytest.raises(BodyworkError, match="bad schedule"):
        pipelines.schedule(pipeline, "never", schedule="at noon")
    assert "never" not in {made.name for made in pipelines.schedules(NAMESPACE)}


def test_a_workflow_that_was_never_run_has_no_log(pipelines: BodyworkDeployer, small: Pipeline) -> None:
    """Here, too, Bodywork ends with 0."""
    with pytest.raises(BodyworkError, match="not found"):
        pipelines.logs("nothing-123456", namespace=small.namespace)


def test_the_bucket_is_closed(
    pipeline: Pipeline,
    pipelines: BodyworkDeployer,
    bucket: ObjectStore,
    git: GitHost,
    first_workflow: Workflow,
    through_api_server: ScoreRequest,
    seatrial: Assembly,
) -> None:
    """The tutorial's own training cannot read its data; the model that was served before is still served."""
    del first_workflow
    before = seatrial.transport.send(through_api_server).assert_status(200).text
    tutorial = (PROJECT / "bodywork.yaml").read_text(encoding="utf-8")
    # One try: three, each with its packages, may take longer than Bodywork waits, and that is another reason.
    git.push(REPOSITORY, Change({"bodywork.yaml": tutorial.replace("retries: 2", "retries: 0")}))
    bucket.set_public_read(BUCKET, allowed=False)
    try:
        with pytest.raises(BodyworkStageError, match="HTTPError: HTTP Error 403") as caught:
            pipelines.run(pipeline, timeout_s=2 * SOON_S)
    finally:
        bucket.set_public_read(BUCKET, allowed=True)
        git.push(REPOSITORY, Change({"bodywork.yaml": tutorial}))
    assert (caught.value.reason, f"stage {TRAIN}" in str(caught.value)) == ("stage failed", True)
    assert seatrial.transport.send(through_api_server).assert_status(200).text == before


def test_a_batch_stage_that_fails_once_is_retried(retried: Future[Workflow], bucket: ObjectStore) -> None:
    """Its second pod succeeds, and with it the workflow."""
    (train,) = retried.result().stages
    assert "second time lucky" in train.text
    assert bucket.keys(BUCKET, "tried") == ("tried",)


def test_a_batch_stage_overruns(overrunning: Future[Workflow]) -> None:
    """Bodywork gives it 90 s beyond its max_completion_time_seconds, then stops waiting and says which stage it was."""
    with pytest.raises(BodyworkStageError, match="overrun--train") as caught:
        overrunning.result()
    assert caught.value.reason == "stage timed out"
    assert "max_completion_time_seconds" in str(caught.value)


def test_a_service_stage_never_starts(never_starting: Future[NeverStarts]) -> None:
    """The version before it is put back and has answered all along; the error has what the new one raised."""
    seen = never_starting.result()
    assert seen.error.reason == "service timed out"
    assert "RuntimeError: the weights are not where they should be" in str(seen.error)
    assert seen.commit_after == seen.commit_before
    assert seen.traffic.variants == {"1": len(seen.traffic.samples)}
    assert seen.answer_after.assert_status(200).json()["version"] == 1
