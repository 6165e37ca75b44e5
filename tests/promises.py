"""What is promised about faults; ``promise`` marks tie tests to one, and docs/reliability.md lists both."""

PROMISES = {
    "F1": "Killed at any moment of `preprocess`: the same command gives byte-identical files, and redoes at "
    "most one part of the sources in each worker.",
    "F2": "Killed in `train-tokenizer` or `init-model`: the final name is absent or whole, never half.",
    "F3": "Killed in `pretrain`, also inside a checkpoint's writing, under DeepSpeed too: the newest whole "
    "checkpoint is taken, losses and final weights are bit-identical (CPU, fp32).",
    "F4": "Resumed twice in an epoch, across its end and across stages: no sequence is read twice or left out.",
    "F5": "Resuming at step 1,000,000 seeks in under 5 s: nothing is read again to get there.",
    "F6": "SIGTERM or Ctrl-C: a checkpoint, then exit code 143 or 130 and the command that goes on; a second "
    "Ctrl-C ends at once.",
    "F7": "A full disk, in a shard or a checkpoint: what was there stays whole, nothing half-written is left, "
    "exit code 4; what is known to be needed is checked before the start.",
    "F8": "An output folder that cannot be written, or is a file: exit code 2 before any work.",
    "F9": "A failing fsync or rename: the result is not marked as finished, exit code 1.",
    "F10": "A flipped bit in a shard or checkpoint: the file is named; an earlier checkpoint serves only with a "
    "notice.",
    "F11": "A file missing from a checkpoint, temporary folders left over: passed over with a notice, cleaned later.",
    "F12": "Two processes, one folder: the second exits with 2 and names the first; a dead one's lock is taken.",
    "F13": "Settings, algorithm, tokenizer or input changed since a result was made: it is refused with the "
    "difference; `--fresh` makes it again.",
    "F14": "Another number of workers: the same bytes. Another number of training processes: the same data order.",
    "F15": "Cut or damaged gz, zst and bz2, wrong check values, empty files: what stands before the fault is "
    "kept, the file is named and counted, others are untouched.",
    "F16": "An invalid byte costs its own record and no other.",
    "F17": "Bad JSON, a list, missing, null, number or NaN for text, doubled keys, nesting of 10 MB: that record "
    "goes, with its reason and place.",
    "F18": "BOM, CRLF, U+2028, NUL, lone surrogates, NFD Hangul, CP949: each has a defined result.",
    "F19": "Parquet with another column, a damaged footer, dictionary or large strings: the columns there are "
    "named, a damaged file is counted.",
    "F20": "A record of 1 GB, a bomb of 1:1000: bounded memory, counted as too large.",
    "F21": "Hostile strings of 1 MB against every filter and PII pattern: linear time.",
    "F22": "Documents of a million words, lines or one sign, of emoji, of spaces, empty: no crash, linear time.",
    "F23": "Paragraphs of 5,000 characters in `train-tokenizer`: none is left out.",
    "F24": "Text that holds `<s>`, `</s>`, `<|endoftext|>` or `▁`: never a control token, and it comes back as it was.",
    "F25": "Pickled weights, optimizer or random states are not opened: exit code 2, and the code in them never runs.",
    "F26": "Code that a model or tokenizer folder brings is refused without `trust_remote_code`; chat templates "
    "are not run.",
    "F27": "YAML that builds objects or expands aliases, doubled or misspelt keys, tabs: exit code 2 in under a "
    "second, with line, key and the nearest right key.",
    "F28": "Archive members and set names that lead out, links and devices: refused, nothing is written outside.",
    "F29": "NaN or infinity in loss or gradient, and a spike where `spikes` is set: no update, named with step and "
    "batch; after several in a row exit code 1; good checkpoints stay.",
    "F30": "`keep: 1` and the new checkpoint fails: the old one is there.",
    "F31": "Vocabulary and rows that do not fit, padded rows, tied and untied heads, stages out of order: exit "
    "code 2 before training.",
    "F32": "No network, the C locale, paths with Korean and spaces: works on local data.",
    "S1": "Tokens and keys never reach a log, a manifest or an error message.",
    "Z1": "Readers, normaliser, PII masker, recipe loader and safetensors header reader never fail otherwise "
    "than by their own errors, whatever the bytes (fuzzing).",
}
