"""Tasks of lm-evaluation-harness (EleutherAI) as a judge: WMDP, MMLU or any other. The harness asks and scores."""
