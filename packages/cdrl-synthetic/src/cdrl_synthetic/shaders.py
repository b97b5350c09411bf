"""The shader pair that draws skin, lips, lashes, mouth, teeth, hair, cloth and eyes."""

VERTEX = """
#version 330
uniform mat4 projection;
uniform mat3 rotation;
uniform vec3 translation;
in vec3 position; in vec3 normal; in vec3 canonical; in float kind; in vec3 tint;
out vec3 place; out vec3 facing; out vec3 spot; out vec3 amount; flat out int part;
void main() {
    place = rotation * position + translation;
    facing = rotation * normal;
    spot = canonical;
    amount = tint;
    part = int(kind + 0.5);
    gl_Position = projection * vec4(place, 1.0);
}
"""

FRAGMENT = """
#version 330
uniform sampler2D skin;
uniform vec3 key_direction, key_color, fill_direction, fill_color, sky, ground;
uniform vec3 lip_color, lash_color, hair_color, cloth_color, iris_color, sclera_color, tooth_color;
uniform float shine, roughness, collar, lip_shine, iris_size, mouth_front;
uniform float wrinkle_forehead, wrinkle_frown, wrinkle_nose, wrinkle_smile;
uniform vec3 mouth_place;
in vec3 place; in vec3 facing; in vec3 spot; in vec3 amount; flat in int part;
out vec4 color;

float hash(vec2 p) { return fract(sin(dot(p, vec2(12.9898, 78.233))) * 43758.5453); }
float noise(vec2 p) {
    vec2 i = floor(p), f = fract(p); f = f * f * (3.0 - 2.0 * f);
    return mix(mix(hash(i), hash(i + vec2(1, 0)), f.x), mix(hash(i + vec2(0, 1)), hash(i + vec2(1, 1)), f.x), f.y);
}
vec3 linear(vec3 c) { return pow(c, vec3(2.2)); }

vec3 shade(vec3 albedo, vec3 n, vec3 wrap, float gloss, float power, float open) {
    vec3 v = normalize(-place);
    float key = dot(n, key_direction), fill = dot(n, fill_direction);
    vec3 light = key_color * max((key + wrap) / (1.0 + wrap), 0.0);
    light += fill_color * max((fill + wrap) / (1.0 + wrap), 0.0);
    light += mix(ground, sky, n.y * 0.5 + 0.5) * open;
    float fresnel = 0.04 + 0.5 * pow(1.0 - max(dot(n, v), 0.0), 4.0);
    float highlight = pow(max(dot(n, normalize(key_direction + v)), 0.0), power) * step(0.0, key);
    float second = pow(max(dot(n, normalize(fill_direction + v)), 0.0), power) * step(0.0, fill);
    vec3 glare = (key_color * highlight + fill_color * second) * gloss * (fresnel * 10.0);
    glare += mix(ground, sky, reflect(-v, n).y * 0.5 + 0.5) * gloss * fresnel;
    return (albedo * light + glare * 0.35) * mix(0.35, 1.0, open);
}

vec2 unwrap(vec3 p) { return vec2(atan(p.x, p.z + 7.0) / 4.4 + 0.5, (p.y + 16.0) / 30.0); }

// How high the skin stands in a fold: lines across the forehead, between the brows, on the nose, beside the mouth.
float fold(vec3 p) {
    float across = wrinkle_forehead * sin((p.y + 0.04 * p.x * p.x + 0.3 * noise(p.xy)) * 5.2)
        * smoothstep(2.6, 3.6, p.y) * smoothstep(6.6, 5.0, p.y) * smoothstep(5.0, 3.0, abs(p.x));
    float x = abs(p.x) - 0.55 - 0.05 * (p.y - 2.0);
    float frown = -wrinkle_frown * exp(-x * x / 0.035) * smoothstep(0.7, 1.4, p.y) * smoothstep(3.6, 2.6, p.y);
    float nose = wrinkle_nose * sin(p.y * 8.0 + abs(p.x) * 5.0) * smoothstep(-2.2, -1.2, p.y)
        * smoothstep(1.0, 0.0, p.y) * smoothstep(1.6, 0.9, abs(p.x));
    // From the wing of the nose down and out around the corner of the mouth.
    float line = abs(p.x) - (1.75 + 0.42 * (-3.9 - p.y) - 0.02 * (p.y + 4.0) * (p.y + 4.0));
    float cheek = -wrinkle_smile * 1.4 * exp(-line * line / (line < 0.0 ? 0.05 : 0.25))
        * smoothstep(-8.2, -6.6, p.y) * smoothstep(-3.0, -4.2, p.y);
    float outer = wrinkle_smile * 0.5 * sin(p.y * 7.0 - abs(p.x) * 1.5) * smoothstep(4.7, 5.3, abs(p.x))
        * smoothstep(6.6, 5.8, abs(p.x)) * smoothstep(-1.6, -0.6, p.y) * smoothstep(1.2, 0.4, p.y);
    return across + frown + nose + cheek + outer;
}

vec3 skin_color(vec3 n) {
    vec4 texel = texture(skin, unwrap(spot));
    vec3 albedo = linear(texel.rgb);
    float high = fold(spot);
    vec3 tangent = dFdx(place), bitangent = dFdy(place);
    vec2 slope = vec2(dFdx(high), dFdy(high));
    vec3 bent = n - 0.11 * (slope.x * tangent / max(dot(tangent, tangent), 1e-6)
        + slope.y * bitangent / max(dot(bitangent, bitangent), 1e-6));
    bent = normalize(bent);
    albedo *= 1.0 + 0.22 * clamp(high, -1.3, 0.4);
    albedo = mix(albedo, linear(lip_color) * (0.85 + 0.3 * noise(spot.xy * vec2(9.0, 2.5))), amount.x * 0.85);
    albedo = mix(albedo, linear(lash_color), amount.y);
    if (spot.y < collar + 0.06 * abs(spot.x) - 0.004 * spot.x * spot.x)
        return shade(linear(cloth_color) * (0.9 + 0.2 * noise(spot.xy * 40.0)), n, vec3(0.2), 0.0, 8.0, 1.0);
    float gloss = mix(shine * texel.a * 2.0, lip_shine, amount.x);
    return shade(albedo, bent, vec3(0.38, 0.2, 0.14), gloss, mix(roughness, 40.0, amount.x), amount.z);
}

vec3 eye_color(vec3 n) {
    vec3 d = normalize(spot);
    float angle = acos(clamp(d.z, -1.0, 1.0)) / iris_size, turn = atan(d.y, d.x);
    vec3 white = sclera_color - vec3(0.0, 0.12, 0.12) * smoothstep(1.2, 3.0, angle) * noise(vec2(turn * 6.0, angle));
    float fibres = 0.7 + 0.5 * noise(vec2(turn * 9.0, angle * 2.0));
    vec3 iris = iris_color * fibres * mix(1.25, 0.75, smoothstep(0.3, 0.95, angle));
    iris = mix(iris, iris * 0.3, smoothstep(0.82, 1.0, angle));
    iris = mix(vec3(0.02), iris, smoothstep(0.34, 0.42, angle));
    vec3 albedo = mix(iris, white, smoothstep(0.95, 1.08, angle));
    vec3 base = shade(linear(albedo), n, vec3(0.3), 0.05, 30.0, amount.z);
    float glint = pow(max(dot(n, normalize(key_direction + normalize(-place))), 0.0), 220.0);
    float second = pow(max(dot(n, normalize(fill_direction + normalize(-place))), 0.0), 260.0);
    return base + (key_color * glint + fill_color * second) * 0.7 * amount.z;
}

vec3 inside_color(vec3 n) {
    // The deeper behind the lips, the less light.
    float depth = clamp((mouth_front - spot.z) / 4.5, 0.0, 1.0);
    float open = mix(0.85, 0.04, pow(depth, 0.75)) * mix(0.75, 1.0, smoothstep(2.6, 1.0, abs(spot.x)));
    if (part == 2) {
        vec3 tooth = linear(tooth_color) * mix(vec3(0.62, 0.3, 0.28), vec3(1.0), amount.x);
        return shade(tooth * amount.y, n, vec3(0.4), 0.35, 40.0, 1.0) * open;
    }
    return shade(vec3(0.30, 0.07, 0.07), n, vec3(0.4), 0.25, 25.0, 1.0) * open * 0.7;
}

vec3 strands(vec3 n) {
    // The hairline is ragged; amount.x is the height above it.
    if (amount.x < 0.5 * noise(vec2(atan(spot.x, spot.z + 7.0) * 40.0, spot.y * 1.5)) - 0.25) discard;
    float along = noise(vec2(atan(spot.x, spot.z + 7.0) * 60.0, spot.y * 0.6));
    float fine = noise(vec2(spot.x * 14.0, spot.z * 3.0 + spot.y * 1.2));
    vec3 albedo = linear(hair_color) * (0.45 + 0.6 * along + 0.35 * fine);
    vec3 bent = normalize(n + 0.35 * vec3(along - 0.5, 0.0, fine - 0.5));
    return shade(albedo, bent, vec3(0.2), 0.22, 14.0, amount.z);
}

void main() {
    vec3 n = normalize(facing);
    if (part == 4) color.rgb = eye_color(n);
    else if (part == 3) color.rgb = strands(n);
    else if (part == 0) color.rgb = skin_color(n);
    else color.rgb = inside_color(n);
    vec3 film = color.rgb / (1.0 + 0.18 * color.rgb);  // highlights roll off
    color = vec4(pow(max(film, 0.0), vec3(1.0 / 2.2)), 1.0);
}
"""
