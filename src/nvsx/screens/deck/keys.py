"""What each key does to the scene, in the manner of k9s and less.

`press` changes the scene and, for what is not the scene's own, returns a command for the
app: leave, cancel, interrupt (Ctrl-C) or suspend (Ctrl-Z).
"""

from __future__ import annotations

from typing import Literal

from nvsx.screens.deck.scene import PANES, Page, Scene

Command = Literal["leave", "cancel", "interrupt", "suspend"]

_PAGES: dict[str, Page] = {"l": "log", "w": "watches", "y": "raw", "question_mark": "help"}
_STEP = {"j": 1, "down": 1, "k": -1, "up": -1}
_PAGE_STEP = {"space": 1, "pagedown": 1, "ctrl+f": 1, "b": -1, "pageup": -1, "ctrl+b": -1}
_END = {"g": "top", "home": "top", "G": "bottom", "upper_g": "bottom", "end": "bottom"}


def press(scene: Scene, key: str, character: str | None = None) -> Command | None:
    """Take one key, by Textual's name for it; `character` is what it would type."""
    if key == "ctrl+c":
        scene.typing, scene.asking = None, False
        return "interrupt"
    if key == "ctrl+z":
        return "suspend"
    if scene.typing is not None:
        _edit_filter(scene, key, character)
        return None
    if scene.asking:
        scene.asking = False
        return "cancel" if key == "y" else None
    scene.flash = ""
    return _command_of_key(scene, key)


def _command_of_key(scene: Scene, key: str) -> Command | None:
    match key:
        case "q":
            return "leave"
        case "c":
            _ask_to_cancel(scene)
        case "escape":
            _go_back(scene)
        case "slash":
            scene.typing = ""
            if not scene.page:
                scene.focus = "output"
        case "tab" | "shift+tab":
            by = 1 if key == "tab" else -1
            scene.focus = PANES[(PANES.index(scene.focus) + by) % len(PANES)]
        case "n" | "N" | "upper_n":
            if not scene.window.step(1 if key == "n" else -1, scene.window_height()):
                scene.flash = "no match" if scene.window.pattern else "nothing searched for: type /"
        case "left" | "right":
            window = scene.window
            window.column = max(0, window.column + (20 if key == "right" else -20))
        case _ if key in _PAGES:
            scene.open("" if scene.page == _PAGES[key] else _PAGES[key])
        case _:
            _move_window(scene, key)
    return None


def _ask_to_cancel(scene: Scene) -> None:
    if scene.state.finish is not None:
        scene.flash = "the run has finished: q leaves"
    elif not scene.can_cancel:
        scene.flash = "this deck only watches: cancel with `nvsx runs cancel`"
    else:
        scene.asking = True


def _go_back(scene: Scene) -> None:
    """Out of the nearest thing: a search, a page, another stage."""
    if scene.window.pattern:
        scene.window.search("")
    elif scene.page:
        scene.open("")
    else:
        scene.pick("")
        scene.focus = "stages"


def _move_window(scene: Scene, key: str) -> None:
    height = scene.window_height()
    on_stages = scene.focus == "stages" and not scene.page
    if key in _PAGE_STEP:
        scene.window.scroll(_PAGE_STEP[key] * max(1, height - 1), height)
    elif key in _STEP:
        if on_stages:
            _select_stage(scene, _STEP[key])
        elif scene.focus == "stage" and not scene.page:
            scene.stage_top = max(0, scene.stage_top + _STEP[key])
        else:
            scene.window.scroll(_STEP[key], height)
    elif key in _END:
        top = _END[key] == "top"
        if on_stages:
            _select_stage(scene, -len(scene.state.stages) if top else len(scene.state.stages))
        elif scene.focus == "stage" and not scene.page:
            scene.stage_top = 0 if top else 1_000_000
        elif top:
            scene.window.home()
        else:
            scene.window.follow()


def _select_stage(scene: Scene, by: int) -> None:
    stages = scene.state.stages
    selected = scene.selected
    if not stages or selected is None:
        return
    place = next((i for i, s in enumerate(stages) if s is selected), 0)
    scene.pick(stages[max(0, min(len(stages) - 1, place + by))].id)


def _edit_filter(scene: Scene, key: str, character: str | None) -> None:
    """Edit the filter; the window follows every letter."""
    text = scene.typing or ""
    match key:
        case "enter":
            scene.typing = None
            return
        case "escape":
            scene.typing = None
            scene.window.search("")
            return
        case "backspace":
            if not text:
                scene.typing = None
            text = text[:-1]
        case "ctrl+u":
            text = ""
        case "ctrl+w":
            text = text.rstrip().rpartition(" ")[0]
        case _ if character and character.isprintable():
            text += character
        case _:
            return
    if scene.typing is not None:
        scene.typing = text
    scene.window.search(text)


def paste(scene: Scene, text: str) -> None:
    """Pasted text goes into an open filter and nowhere else: it presses no keys."""
    if scene.typing is not None:
        scene.typing += "".join(c for c in text if c.isprintable())
        scene.window.search(scene.typing)
