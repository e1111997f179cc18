"""What every tab has: its controls, start and stop, how it goes, what came of it, and as a command.

Gradio is imported inside functions: without the extra `studio` the package does without it.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from latentgeo.eval.studio.service.given import Given
from latentgeo.eval.studio.service.jobs import Job, Jobs, Owner
from latentgeo.eval.studio.service.parts import status, why
from latentgeo.eval.studio.settings import Studio

if TYPE_CHECKING:
    from gradio.components import Component

Work = Callable[..., str]  # (job, given, *values of the controls) -> HTML


class Desk:
    """One tab, under construction."""

    def __init__(self, cmd: Studio, jobs: Jobs, name: str) -> None:
        self.cmd, self.jobs, self.name = cmd, jobs, name

    @contextmanager
    def controls(self, start: str, tags: Sequence[str]) -> Iterator[None]:
        """Put the controls of a `with` block on the left, and the rest of the tab beside them.

        `start` is on the button; `tags` are the equations that are behind it.
        """
        import gradio as gr

        with gr.Row():
            with gr.Column(scale=2, min_width=280):
                yield
                with gr.Row():
                    self.go = gr.Button(start, variant="primary", elem_id=f"{self.name}-go")
                    self.stop = gr.Button("Stop", elem_id=f"{self.name}-stop")
                gr.HTML(why(tags))
            with gr.Column(scale=5, min_width=280):
                self.status = gr.HTML(elem_id=f"{self.name}-status")
                self.result = gr.HTML(elem_id=f"{self.name}-result")
                self.line = gr.Textbox(
                    label="as a command",
                    elem_id=f"{self.name}-line",
                    interactive=False,
                    lines=1,
                    max_lines=12,
                    buttons=["copy"],
                )
        self.sent = gr.Textbox(visible=False)  # filled by page.js

        def stop(request: gr.Request) -> None:
            self.jobs.stop(self.owner(request))

        self.stop.click(stop, api_visibility="private", show_progress="hidden")

    def runs(
        self,
        work: Work,
        settings: type,
        inputs: Sequence["Component"],
        events: Sequence[Any] = (),
        then: str = "",
    ) -> None:
        """Run `work(job, given, *values of inputs)` at events, those of the start button if none.

        `settings` are those of the command whose errors it raises.
        `then` is JavaScript that follows. A newer run of the tab stops the one before it.
        """
        import gradio as gr

        def follow(request: gr.Request, sent: str, *values: Any) -> Iterator[tuple[Any, ...]]:
            def made(job: Job) -> str:
                return work(job, Given(sent), *values)

            for seen in self.jobs.follow(self.owner(request), made, settings):
                line = "\n".join(seen.lines) or gr.skip()
                yield status(seen), seen.html or gr.skip(), line

        for event in events or [self.go.click]:
            done = event(
                follow,
                inputs=[self.sent, *inputs],
                outputs=[self.status, self.result, self.line],
                js=f"(...values) => studio.send('{self.name}', values)",
                trigger_mode="always_last",
                show_progress="hidden",
                api_visibility="private",
            )
            if then:
                done.then(None, js=f"() => {{ {then} }}")

    def owner(self, request: Any) -> Owner:
        """Return whose job a request is about."""
        return str(request.session_hash), self.name

    def number(self, name: str, label: str) -> "Component":
        """Return a place for a number that may be left to the model; `Job.value` reads it."""
        import gradio as gr

        own, place = "the model's own", f"{self.name}-{name}"
        return gr.Textbox("", label=label, placeholder=own, max_lines=1, elem_id=place)

    def shows(self, choice: "Component", parts: dict[str, Any]) -> None:
        """Show the part of the controls that belongs to the value of a choice."""
        import gradio as gr

        def shown(value: str) -> list[Any]:
            return [gr.update(visible=True if name == value else "hidden") for name in parts]

        choice.change(
            shown, choice, list(parts.values()), show_progress="hidden", api_visibility="private"
        )
