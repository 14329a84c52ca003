/**
 * Themes of the national catalogue that are for organisations (面向法人的主题); all others are for persons. The server
 * counts matters by theme alone.
 */
const FOR_ORGANISATIONS = new Set([
  '设立变更',
  '准营准办',
  '资质认证',
  '年检年审',
  '税收财务',
  '税费缴纳',
  '人力资源',
  '投资审批',
  '融资信贷',
  '抵押质押',
  '商务贸易',
  '招标拍卖',
  '海关口岸',
  '涉外服务',
  '农林牧渔',
  '国土和规划建设',
  '工程建设',
  '交通运输',
  '环保绿化',
  '应急安全',
  '安全生产',
  '检验检疫',
  '科技创新',
  '文体教育',
  '知识产权',
  '民族宗教',
  '质量技术',
  '消费维权',
  '破产注销',
  '公安消防',
])

export function forOrganisations(theme: string): boolean {
  return FOR_ORGANISATIONS.has(theme)
}
