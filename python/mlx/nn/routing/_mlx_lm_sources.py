"""Fingerprints of the classes of mlx-lm that the forms of gates describe.

A fingerprint is that of :func:`mlx.nn.routing.gates.fingerprint`. A class may have
several, one for each source text that computes the same. This file is written by
``tests/clients/gate_sources.py``.
"""

FINGERPRINTS = {
    "mlx_lm.models.Klear.KlearSparseMoeBlock": (
        "a408729010caef47",
        "93f9c73e6ea202c5",
    ),
    "mlx_lm.models.afmoe.AfmoeMoE": (
        "bbf7beb6625a1c94",
        "54505460d5fcf331",
    ),
    "mlx_lm.models.bailing_hybrid.Gate": ("0127aa004ae99a99",),
    "mlx_lm.models.bailing_moe.BailingMoeGate": (
        "e4982aaefa54580f",
        "8d2c00203dc01d79",
    ),
    "mlx_lm.models.bailing_moe_linear.Gate": (
        "e6f5d7bbad609242",
        "f0a9633589d380b0",
    ),
    "mlx_lm.models.bailing_moe_v3.BailingGate": ("45b60338719adaa1",),
    "mlx_lm.models.deepseek.MoEGate": ("bb469328966d9291",),
    "mlx_lm.models.deepseek_v2.MoEGate": (
        "6910495c07284c1b",
        "89f3da1cf8b4b022",
    ),
    "mlx_lm.models.deepseek_v3.MoEGate": (
        "a0681ad22077724d",
        "c17a2eeb3631bb32",
    ),
    "mlx_lm.models.deepseek_v32.MoEGate": (
        "a0681ad22077724d",
        "c17a2eeb3631bb32",
    ),
    "mlx_lm.models.deepseek_v41.Router": ("4efb552d407292cf",),
    "mlx_lm.models.dots1.Dots1TopkRouter": (
        "766380577061af53",
        "97baa492a63db2db",
    ),
    "mlx_lm.models.ernie4_5_moe.Ernie4_5_MoeMLP": ("bf0dc64de626d555",),
    "mlx_lm.models.exaone_moe.MoEGate": (
        "fc8e3c9d184f5eb8",
        "0e96682f0149eb80",
    ),
    "mlx_lm.models.gemma4_text.Router": (
        "9073c4133749d092",
        "c29f929824523ace",
    ),
    "mlx_lm.models.glm4_moe.MoEGate": (
        "a0681ad22077724d",
        "c17a2eeb3631bb32",
    ),
    "mlx_lm.models.glm4_moe_lite.MoEGate": (
        "df99267437bfe729",
        "5471b2862ff6cc1c",
    ),
    "mlx_lm.models.gpt_oss.MLPBlock": (
        "c26307fb38642053",
        "cd37127efce79bdf",
    ),
    "mlx_lm.models.granitemoe.GraniteMoeTopKGating": (
        "10bf235ecc47d143",
        "4557003b4e5a9877",
    ),
    "mlx_lm.models.granitemoehybrid.GraniteMoeHybridTopKGating": (
        "42d3ada0d4cb1545",
        "909228181687ff32",
    ),
    "mlx_lm.models.hunyuan.MoeBlock": ("7e31d84e7e059eaa",),
    "mlx_lm.models.jamba.JambaSparseMoeBlock": ("ff5926eb2d6dd56d",),
    "mlx_lm.models.kimi_k3.KimiK3SparseMoE": ("743ce5189d7f98bd",),
    "mlx_lm.models.kimi_linear.KimiSparseMoE": (
        "c39f9de038c4b060",
        "ca8c672775ac6d0b",
    ),
    "mlx_lm.models.laguna.MoEGate": ("14c5389b7b67dd29",),
    "mlx_lm.models.lfm2_moe.Lfm2MoeSparseMoeBlock": ("9c966c5917fde3c4",),
    "mlx_lm.models.llama4.MoE": (
        "e8e39c7cca42d462",
        "0e2f0b3beb2bdf74",
    ),
    "mlx_lm.models.longcat_flash.LongcatFlashTopkRouter": (
        "2a915fdfdf1ac0d7",
        "24dcfe2f569d8615",
    ),
    "mlx_lm.models.mellum.MellumSparseMoeBlock": ("d0fa0858a5456725",),
    "mlx_lm.models.mimo_v2_flash.MoEGate": (
        "8836695b605cb973",
        "0446275581c67060",
    ),
    "mlx_lm.models.minimax.MiniMaxSparseMoeBlock": (
        "ecd32fb0c06d37d8",
        "6294c0accc99ddf7",
    ),
    "mlx_lm.models.minimax_m3_vl.SparseMoeBlock": ("aa2ce8097c2057ca",),
    "mlx_lm.models.mistral4.Mistral4MoE": ("0414288709a57c94",),
    "mlx_lm.models.mixtral.MixtralSparseMoeBlock": ("a9b9082a52aa94e4",),
    "mlx_lm.models.nemotron_h.MoEGate": (
        "04a6a248822edddf",
        "9afa664a51c251c4",
    ),
    "mlx_lm.models.olmoe.OlmoeSparseMoeBlock": ("71913173e9b39bbb",),
    "mlx_lm.models.phixtral.MOE": ("400a4bcd9fd13e44",),
    "mlx_lm.models.qwen2_moe.Qwen2MoeSparseMoeBlock": ("d04bd0d21763d4bb",),
    "mlx_lm.models.qwen3_moe.Qwen3MoeSparseMoeBlock": ("f491fda3d6a90d8c",),
    "mlx_lm.models.qwen3_next.Qwen3NextSparseMoeBlock": (
        "87847410834a07c6",
        "0dc27172523ea1a4",
    ),
    "mlx_lm.models.step3p5.Step3p5MoEGate": (
        "e0ca96eb3aca67b6",
        "0eb0aada70bf92ac",
    ),
}
