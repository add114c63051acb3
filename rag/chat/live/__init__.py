"""The chat's read-only tools on the facility, one file each; `register_all` names them."""


def register_all() -> None:
    """Add every reading tool to the chat's registry; called from the app's `ready()`."""
    from rag.chat import tools
    from rag.chat.live import alarms, data_quality, documents, energy, topology, twin, values

    known = {tool.name for tool in tools.registered()}
    for module in (values, alarms, topology, twin, energy, data_quality, documents):
        if module.TOOL.name not in known:
            tools.register(module.TOOL)
