"""A training script: logs until it is stopped, and notes each step whose log call returned."""

import json
import os
import resource
import sys
import time

import multitrack

options = json.loads(sys.argv[1])
returned = os.open(options["returned"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
ending = options.get("ending")

with multitrack.start_run(
    project="faults",
    report_to=options["backends"],
    dir=options["dir"],
    config={"lr": 0.1, "ending": ending},
    delivery=options.get("delivery"),
    finish_timeout=options.get("finish_timeout", 120),
) as run:
    for step in range(options["steps"]):
        run.log({"train/loss": step / 7}, step=step)
        os.write(returned, b"%d\n" % step)
        if step == options.get("at"):
            if ending == "exception":
                raise ValueError("the loss is not what it was")
            if ending == "exit":
                sys.exit(3)
            if ending == "memory":
                resource.setrlimit(resource.RLIMIT_AS, (2**29, 2**29))
                hog = bytearray(2**40)
        if os.path.exists(options["stop"]):
            break
        time.sleep(options["pause"])
