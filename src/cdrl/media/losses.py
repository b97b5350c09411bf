"""What a result cannot hold, in words: one warning for each."""

LIGHT = "the HDR mastering display and light levels are left out: cdrl writes none into {}"
NO_LIGHT_ROOM = "the HDR mastering display and light levels are left out: {} has no room for them"
CHANNELS = "channels of the EXR are left out: {}"
CAPTIONS = "CEA-608/708 captions are left out: cdrl writes none into {}"
INTERLACED = "the clip is interlaced and written as whole frames, fields woven: deinterlace it first if edges comb"
TRANSPARENCY = "its transparency is left out: the picture is written opaque"
HALF_TRANSPARENT = "the source is half transparent where it was edited: there the layer over it is too opaque"
