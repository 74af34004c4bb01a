import logging

from nnxtrain.cli.notices import notices


def test_messages_of_the_library_are_shown_once(capsys):
    ours, others = logging.getLogger("nnxtrain.data.prepare"), logging.getLogger("somebody")
    for _ in range(2):
        with notices():
            ours.info("preparing %s", "shapes5")
            others.info("noise")
    ours.info("after")
    assert capsys.readouterr().err == "preparing shapes5\n" * 2
