"""What one sweep leaves for the next."""

from bot.standins.github import Reply
from bot.upkeep.sweeper import SWEPT
from tests.upkeep.test_sweeper import Scene, key, scene

__all__ = ["key", "scene"]  # fixtures


async def test_a_delivery_that_is_gone_keeps_no_other_from_being_asked_for(scene: Scene) -> None:
    """R6. Red when GitHub's 404 for one ends the sweep: seen."""
    issues = [scene.github.open_issue(scene.repository, "alice", f"Issue {n}") for n in range(3)]
    await scene.github.deliver()
    async with scene.endpoint_down():
        for issue in issues:
            scene.clock[0] += 1
            scene.github.comment(scene.repository, issue.number, "alice", "/backspace mend it")
    oldest = next(delivery for delivery in scene.github.deliveries if delivery.event == "issue_comment")
    scene.github.faults.add(Reply(404), method="POST", path=rf"/deliveries/{oldest.id}/attempts$", times=9)
    scene.clock[0] += 60
    await scene.sweeper.sweep()
    await scene.github.deliver()
    assert len(await scene.work()) == 2


async def test_a_sweep_marks_until_when_all_is_settled(scene: Scene) -> None:
    """R6. Red without the mark: each sweep reads three days of GitHub's list (seen)."""
    await scene.sweeper.sweep()
    assert await scene.store.mark(SWEPT) == scene.clock[0]
