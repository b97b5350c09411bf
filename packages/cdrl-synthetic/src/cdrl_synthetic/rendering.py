"""Draws heads offscreen with moderngl (OpenGL through EGL: a GPU's, or Mesa's software renderer where there is none).

One `Renderer` a process. A head's static part (triangles, textures, what each vertex is) is loaded once a person;
positions and normals change with every frame. What comes back is linear light with coverage, to be laid over a
background.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cdrl.errors import ModelFileError
from cdrl_synthetic.head import Floats, Ints
from cdrl_synthetic.shaders import FRAGMENT, VERTEX

NEAR, FAR = 5.0, 400.0  # cm


@dataclass(frozen=True)
class Camera:
    """Where the head is seen from."""

    distance: float
    """From the head's origin, cm."""
    height: float
    """Height of the picture at that distance, cm."""
    shift: tuple[float, float] = (0.0, 0.0)
    """How far the head is moved in the picture, right and up, cm."""

    def projection(self) -> Floats:
        """Compute the clip matrix [4, 4] for a square picture of points in camera space.

        The camera looks along -z.
        """
        matrix = np.zeros((4, 4), np.float32)
        matrix[0, 0] = matrix[1, 1] = 2 * self.distance / self.height
        matrix[2, 2], matrix[2, 3] = -(FAR + NEAR) / (FAR - NEAR), -2 * FAR * NEAR / (FAR - NEAR)
        matrix[3, 2] = -1
        return matrix


@dataclass(frozen=True)
class Figure:
    """The static part of what is drawn."""

    triangles: Ints
    """[m, 3]."""
    canonical: Floats
    """[n, 3] place of each vertex on the model's mean face, cm."""
    kind: NDArray[np.uint8]
    """[n] what each vertex belongs to; see `cdrl_synthetic.head`."""
    tint: Floats
    """[n, 3] how much of a lip, of a lash, and how open to light."""
    skin: NDArray[np.uint8]
    """RGBA [h, w, 4] in canonical cylinder coordinates; alpha is shine."""
    uniforms: Mapping[str, Any]
    """Uniforms of the shader, by name."""


class Renderer:
    """Draws offscreen pictures of one size."""

    def __init__(self, size: int) -> None:
        """Create a context.

        Args:
            size: Side of the pictures in pixels.

        Raises:
            ModelFileError: There is no OpenGL.
        """
        self._context = context = _create_context()
        self._program = context.program(vertex_shader=VERTEX, fragment_shader=FRAGMENT)
        self._size = (size, size)
        self._target = context.framebuffer(context.renderbuffer(self._size, 4), context.depth_renderbuffer(self._size))
        self._resources: list[Any] = []

    def load(self, figure: Figure) -> None:
        """Make `figure` the one that is drawn."""
        for item in self._resources:
            item.release()
        context, count = self._context, len(figure.canonical)
        static = np.concatenate([figure.canonical, figure.kind[:, None], figure.tint], 1).astype(np.float32)
        self._moving = context.buffer(reserve=count * 6 * 4, dynamic=True)
        fixed = context.buffer(static.tobytes())
        index = context.buffer(np.ascontiguousarray(figure.triangles, np.int32).tobytes())
        content = [(self._moving, "3f 3f", "position", "normal"), (fixed, "3f 1f 3f", "canonical", "kind", "tint")]
        self._array = context.vertex_array(self._program, content, index, skip_errors=True)
        height, width = figure.skin.shape[:2]
        texture = context.texture((width, height), 4, np.ascontiguousarray(figure.skin[::-1]).tobytes())
        texture.build_mipmaps()
        texture.use(0)
        self._resources = [self._array, self._moving, fixed, index, texture]
        for name, value in figure.uniforms.items():
            self.set_uniform(name, value)

    def set_uniform(self, name: str, value: Any) -> None:
        """Set a uniform of the shader; one that the compiler has removed is passed over.

        Args:
            name: The uniform's name.
            value: A number, or an array of 3 or 4.
        """
        if name in self._program:
            self._program[name].value = value if np.isscalar(value) else tuple(np.ravel(value).tolist())

    def draw(
        self, positions: Floats, normals: Floats, rotation: Floats, translation: Floats, camera: Camera
    ) -> NDArray[np.uint8]:
        """Draw the figure.

        Args:
            positions: Vertices [n, 3], cm.
            normals: Unit normals [n, 3].
            rotation: Rotation [3, 3] of the head.
            translation: Where the head's origin lies, [3] cm.
            camera: Where it is seen from.

        Returns:
            RGBA [size, size, 4], gamma-encoded and premultiplied by coverage.
        """
        self._moving.write(np.concatenate([positions, normals], 1).astype(np.float32).tobytes())
        self.set_uniform("projection", camera.projection().T)
        self.set_uniform("rotation", rotation.T)
        self.set_uniform("translation", translation + np.array([*camera.shift, -camera.distance]))
        self._target.use()
        self._context.enable(self._context.DEPTH_TEST)
        self._target.clear(0, 0, 0, 0)
        self._array.render()
        return np.frombuffer(self._target.read(components=4), np.uint8).reshape(*self._size, 4)[::-1]


def _create_context() -> Any:
    import moderngl  # noqa: PLC0415  a heavy library that only drawing needs

    backend: Any = {"backend": "egl"}
    try:
        return moderngl.create_context(standalone=True, **backend)
    except Exception as error:  # noqa: BLE001  moderngl and glcontext raise bare ones
        raise ModelFileError(
            f"no OpenGL to draw with ({error}); on Debian: apt install libegl1 libgl1-mesa-dri libgles2"
        ) from None
