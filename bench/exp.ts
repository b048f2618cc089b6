import { learnStep } from '../src/gflownet/learn-step.ts'
import { sampleLatents } from '../src/sampling/sample.ts'
import { seededRandom } from '../src/random.ts'
import { describeSize, openRandomLanes, randomAdapter } from './sizes.ts'
import { parameterCount } from '../src/models/language-model.ts'
const [size, storage, samples='64', what='learn'] = process.argv.slice(2)
const mb=()=>`rss ${(process.memoryUsage().rss/2**20).toFixed(0)} peak ${(process.resourceUsage().maxRSS/1024).toFixed(0)}`
const model=describeSize(size as any, storage as any)
console.log(size,storage,(parameterCount(model)/1e6).toFixed(0)+'M', mb())
let t=performance.now()
const lanes=await openRandomLanes(model,2)
console.log('loaded',((performance.now()-t)/1000).toFixed(1),'s',mb())
const adapter=randomAdapter(model)
const N=Number(samples), L=12
const d=seededRandom(1).at('x')
const tok=(n:number)=>Array.from({length:n},()=>1+d.integer(model.dimensions.vocabulary-1))
for(let i=0;i<3;i++){
 const latents=Array.from({length:N},()=>tok(L)); const prompt=tok(60)
 t=performance.now()
 if(what.includes('sample')) { await lanes.use(l=>sampleLatents(l,{model,adapter,support:{stop:0,minTokens:L,maxTokens:L}},{prompt,temperatures:Array(N).fill(1),draws:d})); console.log('sample',((performance.now()-t)/1000).toFixed(2),'s',mb()); t=performance.now() }
 if(what.includes('learn')) { const r=await lanes.use(l=>learnStep(l,{model,adapter,support:{stop:0,minTokens:0,maxTokens:L},objective:{name:'subtrajectory-balance',lambda:1}},{prompt,latents,logRewards:latents.map(()=>Array.from({length:L+1},()=>-40+d.normal())),logPartition:0}))
 console.log('learn',((performance.now()-t)/1000).toFixed(2),'s',mb(), r.loss) }
}
await lanes.dispose()
