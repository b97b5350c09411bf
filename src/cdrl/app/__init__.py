"""`cdrl app`: the editor in a browser, on this machine alone. Needs the extra `app` (Gradio)."""
