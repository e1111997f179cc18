"""The page: its tabs, and the application that serves it."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from latentgeo.core.run.text import read_text
from latentgeo.eval.studio import (
    captions,
    directions,
    drag,
    equations,
    meaning,
    walk,
    words,
)
from latentgeo.eval.studio.desk import Desk
from latentgeo.eval.studio.service.guard import Guard
from latentgeo.eval.studio.service.jobs import Jobs
from latentgeo.eval.studio.settings import Studio

if TYPE_CHECKING:
    from gradio import Blocks

HERE = Path(__file__).parent
TABS: tuple[tuple[str, Callable[[Desk], None]], ...] = (
    (walk.TITLE, walk.build),
    (words.TITLE, words.build),
    (meaning.TITLE, meaning.build),
    (directions.TITLE, directions.build),
    (drag.TITLE, drag.build),
    (captions.TITLE, captions.build),
    (equations.TITLE, equations.build),
)
SESSIONS = 200  # that Gradio remembers, of pages that were never closed
SILENT = {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_OFFLINE": "1", "GRADIO_SHARE": "False"}


def application(cmd: Studio, folder: Path) -> Guard:
    """Return the page as an ASGI application; `folder` is for what Gradio writes."""
    os.environ |= SILENT | {"GRADIO_TEMP_DIR": str(folder)}
    import gradio as gr
    from fastapi import FastAPI
    from fastapi.responses import HTMLResponse

    app = FastAPI(openapi_url=None)

    @app.get("/equations")
    def ledger() -> HTMLResponse:
        return HTMLResponse(equations.page())

    fonts = {"font": ("system-ui", "sans-serif"), "font_mono": ("ui-monospace", "monospace")}
    gr.mount_gradio_app(
        app,
        page(cmd, Jobs()),
        "/",
        server_name=cmd.host,
        server_port=cmd.port,
        footer_links=[],
        run_history=False,
        blocked_paths=["/"],
        ssr_mode=False,
        enable_monitoring=False,
        mcp_server=False,
        pwa=False,
        theme=gr.themes.Base(**fonts),
        css=read_text(HERE / "page.css"),
        head=f"<script>{read_text(HERE / 'page.js')}</script>",
    )
    return Guard(app, cmd.host)


def page(cmd: Studio, jobs: Jobs) -> "Blocks":
    """Return the page with its tabs."""
    import gradio as gr

    with gr.Blocks(title="latentgeo studio", analytics_enabled=False) as blocks:
        gr.HTML(f"<h1>latentgeo studio</h1><p>{cmd.model}, {cmd.image_model}</p>")
        with gr.Tabs():
            for title, build in TABS:
                with gr.Tab(title, id=title, elem_id=f"tab-{title}"):
                    build(Desk(cmd, jobs, title.lower()))

        def leave(request: gr.Request) -> None:
            jobs.stop((str(request.session_hash), ""))

        blocks.unload(leave)
    blocks.state_session_capacity = SESSIONS
    blocks.queue(default_concurrency_limit=None)
    return blocks
