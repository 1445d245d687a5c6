"""Survey: one asks, everybody who is connected may answer within a time."""

import contextlib
import threading

import nngio

NAMES = ("Ada", "Grace", "Radia")


def respond(name: str, respondent: nngio.Respondent0) -> None:
    """Answer each survey; Radia has no time for the second question."""
    for question in respondent:
        if name != "Radia" or b"free" not in question:
            respondent.send(f"{name}: yes".encode())


def main() -> None:
    threads = []
    with contextlib.ExitStack() as stack:
        surveyor = stack.enter_context(nngio.Surveyor0(survey_time=0.3))
        for name in NAMES:
            respondent = stack.enter_context(nngio.Respondent0(listen=f"inproc://{name}"))
            thread = threading.Thread(target=respond, args=(name, respondent))
            thread.start()
            threads.append(thread)
            surveyor.dial(f"inproc://{name}")
        for question in ("Are you there?", "Are you free on Friday?"):
            print(question)
            for answer in surveyor.survey(question.encode()):
                print("   ", answer.decode())
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
