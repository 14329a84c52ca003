import vue from '@vitejs/plugin-vue'
import Components from 'unplugin-vue-components/vite'
import { ElementPlusResolver } from 'unplugin-vue-components/resolvers'
import { defineConfig } from 'vite'
import { VitePWA } from 'vite-plugin-pwa'

export default defineConfig({
  base: '/desk/',
  plugins: [
    vue(),
    Components({ dts: false, dirs: [], resolvers: [ElementPlusResolver({ importStyle: 'css' })] }),
    VitePWA({
      registerType: 'prompt', // a desk is not reloaded under the hands of who types
      injectRegister: false,
      manifest: {
        name: '办事 · 工作台',
        short_name: '办事工作台',
        description: '在线答复咨询、受理和审批办件',
        lang: 'zh-CN',
        start_url: '/desk/',
        scope: '/desk/',
        display: 'standalone',
        background_color: '#f5f7fa',
        theme_color: '#1f5fa8',
        icons: [
          { src: 'icon.svg', sizes: 'any', type: 'image/svg+xml', purpose: 'any' },
          { src: 'icon-192.png', sizes: '192x192', type: 'image/png' },
          { src: 'icon-512.png', sizes: '512x512', type: 'image/png' },
        ],
      },
      workbox: {
        navigateFallback: '/desk/index.html',
        // only pages of the desk; what the server says is never kept here
        navigateFallbackAllowlist: [/^\/desk\//],
        globPatterns: ['**/*.{js,css,html,svg,png,woff2}'],
        cleanupOutdatedCaches: true,
      },
    }),
  ],
  build: { target: 'es2020', chunkSizeWarningLimit: 900 },
  server: { proxy: { '/api': 'http://127.0.0.1:8080', '/socket.io': { target: 'ws://127.0.0.1:8080', ws: true } } },
})
