"""The one function of Skylib that Abseil's BUILD files use."""

def _config_setting_group(name, match_any, visibility = None):
    native.alias(
        name = name,
        actual = select(dict(
            [(condition, condition) for condition in match_any],
            **{"//conditions:default": match_any[0]}
        )),
        visibility = visibility,
    )

selects = struct(config_setting_group = _config_setting_group)
