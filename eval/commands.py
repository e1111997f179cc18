"""The commands that measure, compare, audit and profile: names alone."""

from latentgeo.core.run.commands import Command, Group

COMMANDS = (
    Group(
        "measure",
        (
            Command(
                "eval-istd",
                "latentgeo.eval.smooth.settings:EvalIstd",
                "latentgeo.eval.smooth.istd:evaluate_istd",
                "measure smoothness: the interpolation standard deviation",
            ),
            Command(
                "eval-quality",
                "latentgeo.eval.smooth.settings:EvalQuality",
                "latentgeo.eval.smooth.quality:evaluate_quality",
                "measure image quality",
            ),
            Command(
                "eval-reconstruction",
                "latentgeo.eval.smooth.settings:EvalReconstruction",
                "latentgeo.eval.smooth.reconstruction:evaluate_reconstruction",
                "measure how images come back after inversion",
            ),
            Command(
                "eval-edit",
                "latentgeo.eval.smooth.settings:EvalEdit",
                "latentgeo.eval.smooth.edits:evaluate_edits",
                "measure text edits: what was wanted, and what was kept",
            ),
            Command(
                "eval-drag",
                "latentgeo.eval.smooth.settings:EvalDrag",
                "latentgeo.eval.smooth.drags:evaluate_drag",
                "measure where prepared drags of held-out images end",
            ),
            Command(
                "eval-tables",
                "latentgeo.eval.smooth.settings:EvalTables",
                "latentgeo.eval.smooth.tables:evaluate_tables",
                "measure a paper's tables (smooth)",
            ),
            Command(
                "eval-isometry",
                "latentgeo.eval.isometric.settings:EvalIsometry",
                "latentgeo.eval.isometric.run:evaluate_isometry",
                "measure how isometric latent spaces are: PPL, mRTL, MCN, VoR, separability",
            ),
            Command(
                "toy-isometry",
                "latentgeo.eval.toy.settings:ToyIsometry",
                "latentgeo.eval.toy.run:toy_isometry",
                "flatten a sphere with and without the isometry loss, in pictures and numbers",
            ),
            Command(
                "eval-asyrp",
                "latentgeo.eval.semantic.settings:EvalAsyrp",
                "latentgeo.eval.semantic.run:evaluate_asyrp",
                "measure semantic edits, and the properties of h-space (Asyrp)",
            ),
            Command(
                "eval-intervals",
                "latentgeo.eval.semantic.settings:EvalIntervals",
                "latentgeo.eval.semantic.intervals:evaluate_intervals",
                "measure where semantic edits of a model may end and boosting begin (Asyrp)",
            ),
            Command(
                "eval-transport",
                "latentgeo.eval.transport.settings:EvalTransport",
                "latentgeo.eval.transport.run:evaluate_transport",
                "compare couplings of prompts: optimal transport, index, and others",
            ),
            Command(
                "eval-judge",
                "latentgeo.eval.judges.settings:EvalJudge",
                "latentgeo.eval.judges.judge:evaluate_judge",
                "measure how well a judge of edits reads faces",
            ),
            Command(
                "eval-segmenter",
                "latentgeo.eval.judges.settings:EvalSegmenter",
                "latentgeo.eval.judges.segmenter:evaluate_segmenter",
                "measure a segmenter of faces against exact masks",
            ),
        ),
    ),
    Group(
        "compare",
        (
            Command(
                "demo",
                "latentgeo.eval.demo.settings:Demo",
                "latentgeo.eval.demo.run:run_demo",
                "run the embedded models and write a report",
            ),
            Command(
                "compare",
                "latentgeo.eval.compare.settings:Compare",
                "latentgeo.eval.compare.run:run_compare",
                "measure base, smooth, isometric and both adapters of a model by every metric",
            ),
        ),
    ),
    Group(
        "audit",
        (
            Command(
                "audit",
                "latentgeo.eval.audit.settings:Audit",
                "latentgeo.eval.audit.run:audit",
                "show where each equation is coded and tested",
            ),
        ),
    ),
    Group(
        "profile",
        (
            Command(
                "bench-unet",
                "latentgeo.eval.bench.settings:BenchUNet",
                "latentgeo.eval.bench.pairs:bench_unet",
                "time the UNet's forward pass beside diffusers'",
            ),
            Command(
                "bench-sample",
                "latentgeo.eval.bench.settings:BenchSample",
                "latentgeo.eval.bench.sample:bench_sample",
                "time text to image beside diffusers",
            ),
            Command(
                "bench-load",
                "latentgeo.eval.bench.settings:BenchLoad",
                "latentgeo.eval.bench.load:bench_load",
                "time loading Stable Diffusion beside diffusers, and its peak memory",
            ),
            Command(
                "bench-step",
                "latentgeo.eval.bench.settings:BenchStep",
                "latentgeo.eval.bench.step:bench_step",
                "time one regularized training step beside the published one",
            ),
            Command(
                "bench-isometric",
                "latentgeo.eval.bench.settings:BenchIsometric",
                "latentgeo.eval.bench.isometric:bench_isometric",
                "time one isometric training step beside the published one",
            ),
            Command(
                "bench-null-text",
                "latentgeo.eval.bench.settings:BenchNullText",
                "latentgeo.eval.bench.null_text:bench_null_text",
                "time null-text inversion beside the published one",
            ),
            Command(
                "bench-transport",
                "latentgeo.eval.bench.settings:BenchTransport",
                "latentgeo.eval.bench.transport:bench_transport",
                "time exact couplings beside POT's",
            ),
            Command(
                "bench-account",
                "latentgeo.eval.bench.settings:BenchAccount",
                "latentgeo.eval.bench.account:bench_account",
                "count what a training step costs on a GPU, without one",
            ),
            Command(
                "bench-kernels",
                "latentgeo.eval.kernels.settings:BenchKernels",
                "latentgeo.eval.kernels.bench:bench_kernels",
                "time the fused operators on a GPU, beside their peers",
            ),
            Command(
                "bench-aot",
                "latentgeo.eval.kernels.settings:BenchAot",
                "latentgeo.eval.kernels.aot:bench_aot",
                "compile the kernels for GPUs that need not be there and report their resources",
            ),
        ),
    ),
)
