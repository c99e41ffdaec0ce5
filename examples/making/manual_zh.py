"""product-manual-zh.pdf: a born-digital manual in Chinese with headings, paragraphs, lists and tables."""

from pathlib import Path

from reportlab.lib.styles import ParagraphStyle
from reportlab.platypus import PageBreak, Paragraph, Spacer

from making.style import GREY, TEAL, bullets, chinese_font, ruled, running, style, write_pdf

SPECIFICATION = [
    ["项目", "KX-204", "KX-260"],
    ["额定流量（立方米/小时）", "860", "15,120"],
    ["额定扬程（米）", "4.5", "2.9"],
    ["电机功率（千瓦）", "15", "160"],
    ["最大转速（转/分）", "1,450", "590"],
    ["整机重量（千克）", "218", "3,940"],
    ["防护等级", "IP68", "IP68"],
]
SERVICE = [
    ["周期", "工作内容", "所需时间"],
    ["每周", "检查油位和轴承温度", "15 分钟"],
    ["每 500 小时", "更换润滑脂，清洗进口滤网", "1 小时"],
    ["每 4,000 小时", "更换轴封 KX-204-S7", "3 小时"],
    ["每 16,000 小时", "返厂大修，更换上下轴承", "5 天"],
]
FAULTS = [
    ["故障代码", "含义", "处理方法"],
    ["E03", "电机温度过高", "停机冷却四十分钟，检查通风"],
    ["E07", "轴封渗漏", "立即停机，更换轴封"],
    ["E12", "叶轮卡住", "断电后清除杂物，用手转动三圈"],
    ["E21", "电源缺相", "检查三相电压，偏差不得超过 5 %"],
]


def _styles(font: str) -> dict[str, ParagraphStyle]:
    plain = {"fontName": font, "wordWrap": "CJK"}
    return {
        "title": style("zh-title", fontSize=28, leading=38, textColor=TEAL, spaceAfter=8, **plain),
        "h1": style("zh-h1", fontSize=17, leading=24, textColor=TEAL, spaceBefore=10, spaceAfter=7, **plain),
        "body": style("zh-body", fontSize=11, leading=18, spaceAfter=8, **plain),
        "caption": style("zh-caption", fontSize=9, leading=13, textColor=GREY, spaceAfter=8, **plain),
    }


def make(path: Path, *, font_file: Path | None = None) -> None:
    font = chinese_font(font_file)
    looks = _styles(font)

    def say(kind: str, words: str) -> Paragraph:
        return Paragraph(words, looks[kind])

    story = [
        Spacer(1, 20),
        say("title", "KX 系列潮汐水泵产品手册"),
        say("caption", "奥德摩尔水泵公司，2026 年 1 月，第三版"),
        say("h1", "一、产品简介"),
        say("body", "KX 系列是为低扬程、大流量的排水工程设计的潜水轴流泵，适用于圩区、船闸和潮汐泵站。"
            "新的叶轮在部分负荷下比上一代产品节电约五分之一，"
            "叶片末端的浅槽推迟了气蚀的发生，从而延长了叶轮的寿命。"),
        say("body", "本手册适用于 KX-204 和 KX-260 两种型号。安装之前请完整阅读，并把手册保存在泵站的控制柜内。"),
        say("h1", "二、技术参数"),
        ruled(SPECIFICATION, [210, 120, 120], font=font),
        say("caption", "表 1　额定参数，水温不超过 40 摄氏度。"),
        say("h1", "三、安装要求"),
        bullets(
            "基础混凝土的强度不低于 C30，养护时间不少于二十八天。",
            "进水口距池底至少 0.8 米，距最低水位至少 1.2 米。",
            "电缆必须用不锈钢夹固定，间距不超过 1.5 米。",
            "首次启动前用手转动叶轮，应当转动均匀，没有摩擦声。",
            body=looks["body"], numbered=True,
        ),
        PageBreak(),
        say("h1", "四、保养"),
        say("body", "定期保养是水泵长期可靠运行的前提。每次保养都应记录在运行日志中，缺少记录的设备不再享受保修。"),
        ruled(SERVICE, [110, 230, 110], font=font, align="LEFT"),
        say("caption", "表 2　保养周期。"),
        say("h1", "五、故障代码"),
        ruled(FAULTS, [90, 140, 220], font=font, align="LEFT"),
        say("caption", "表 3　控制柜显示的故障代码。"),
        say("h1", "六、保修"),
        say("body", "自交付之日起，整机的保修期为二十四个月，叶轮的保修期为六十个月。"
            "轴封和润滑脂属于易损件，不在保修范围之内。"),
        say("body", "保修期内发生故障时，请拨打服务热线 400-820-5518，并说明铭牌上的出厂编号。"
            "我们在两个工作日内派人到达现场。"),
    ]  # fmt: skip
    write_pdf(
        path,
        story,
        title="KX 系列潮汐水泵产品手册",
        furniture=running("KX 系列潮汐水泵产品手册", font=font, page="第 {} 页"),
    )
