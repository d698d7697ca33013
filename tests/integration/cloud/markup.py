# SPDX-License-Identifier: Apache-2.0
"""OpenNebula's XML: two blanks a level, templates' values in CDATA, no declaration, no newline at the end."""
import xml.etree.ElementTree as ET

QUOTED_BELOW = ("TEMPLATE", "USER_TEMPLATE", "MONITORING")  # whose leaves are CDATA
QUOTED = ("VM_MAD", "TM_MAD", "IM_MAD", "LOGO")


def element(tag, content=None):
    """content: text or number; a dictionary or list of pairs, of which a list is repeated."""
    made = ET.Element(tag)
    if isinstance(content, dict):
        content = list(content.items())
    if isinstance(content, list):
        for name, value in content:
            for each in value if isinstance(value, list) and not (value and isinstance(value[0], tuple)) else [value]:
                made.append(each if isinstance(each, ET.Element) else element(name, each))
    elif content is not None:
        made.text = str(content)
    return made


def render(node, depth=0, quoted=False):
    """The element as text."""
    indent = "  " * depth
    if len(node):
        below = quoted or node.tag in QUOTED_BELOW
        inner = "\n".join(render(child, depth + 1, below) for child in node)
        return f"{indent}<{node.tag}>\n{inner}\n{indent}</{node.tag}>"
    text = node.text.strip() if node.text and not node.text.strip() else node.text
    if not text and quoted and node.text is not None:
        return f"{indent}<{node.tag}><![CDATA[]]></{node.tag}>"
    if not text:
        return f"{indent}<{node.tag}/>"
    if quoted or node.tag in QUOTED:
        return f"{indent}<{node.tag}><![CDATA[{text.replace(']]>', ']]]]><![CDATA[>')}]]></{node.tag}>"
    return f"{indent}<{node.tag}>{_escape(text)}</{node.tag}>"


def _escape(text):
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def parse(text):
    return ET.fromstring(text)


def plain(node):
    """As --json shows it."""
    if not len(node):
        return node.text or {}
    made = {}
    for child in node:
        value = plain(child)
        if child.tag in made:
            made[child.tag] = (made[child.tag] if isinstance(made[child.tag], list) else [made[child.tag]]) + [value]
        else:
            made[child.tag] = value
    return made
