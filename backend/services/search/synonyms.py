"""General synonyms of public services: words citizens use beside the words of the catalogue.

Written by hand and kept general: a word of a single matter belongs into that matter's everyday names.
Members of a group stand for each other with a reduced weight (`index.SYNONYM_WEIGHT`).
"""

from __future__ import annotations

_GROUPS = """
驾照 驾驶证
续期 延续 延期 续办 续签
注销 取消
补办 补领 补发 补换
换领 换发 换证
新办 新申请 首次 初次 申领 申办
设立 开办 开业 新设
停业 歇业 关闭
变更 更改 修改
审批 许可 核准 核发 批准
登记 注册
申请 申报
证 证书 证件 许可证
查询 查找 检索
机动车 汽车 车辆
车牌 号牌 牌照
港澳 香港 澳门
社保 社会保险
医保 医疗保险 基本医疗保险
公积金 住房公积金
失业金 失业保险金
低保 最低生活保障
结婚 婚姻登记
离婚 婚姻登记
上户口 出生登记 入户 落户
户口 户籍
身份证 居民身份证
教师 老师
医师 医生
诊所 医疗机构
药店 药品经营
公司 企业
营业执照 执照
饭店 餐馆 餐饮
律所 律师事务所
职称 专业技术资格
残疾证 残疾人证
老人 老年人 高龄
小孩 儿童 未成年人
补贴 补助 津贴 救助
奖励 表彰
外国人 外籍
房产 不动产
房产证 不动产权证
年检 年审 检验 审验
税务 纳税
网约车 网络预约出租
出租车 出租汽车
货车 货运 道路货物运输
危险品 危险货物 危险化学品
社团 社会团体
民非 民办非企业单位
招工 招聘 就业
创业 自主创业
退休 养老金 养老保险
殡葬 火化 丧葬
占道 占用道路
排水 排污
"""


def _table() -> dict[str, frozenset[str]]:
    table: dict[str, set[str]] = {}
    for line in _GROUPS.split("\n"):
        words = line.split()
        for word in words:
            table.setdefault(word, set()).update(words)
    return {word: frozenset(others - {word}) for word, others in table.items()}


SYNONYMS = _table()


def synonyms_in(text: str) -> frozenset[str]:
    """Words that stand for a word of `text` and are not themselves in it."""
    return frozenset(
        other for word, others in SYNONYMS.items() if word in text for other in others if other not in text
    )
