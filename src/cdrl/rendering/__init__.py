"""Renders an edit: warp, eye layer, expression-ratio shading and mouth interior, on a frame's own planes."""
